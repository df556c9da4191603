"""The progress server as a process of its own: `python progress_process.py TLS_FOLDER`. It prints its port and takes any job's progress with one token."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import ssl
import subprocess
import sys
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tuneloop_api.contract.progress import progress_path
from tuneloop_operator.progress.server import LocalAuthenticator, ProgressServer
from tuneloop_operator.progress.tls import ServerCertificate
from tuneloop_operator.serving import served

if TYPE_CHECKING:
    from collections.abc import Iterator

TOKEN = "s3cret"
MESSAGE = {"version": 1, "stage": "train", "attempt": 1, "sequence": 1, "sentAt": "2026-01-01T00:00:00Z"}


@dataclass(frozen=True)
class RunningProgressServer:
    """A process that serves."""

    pid: int
    port: int
    tls: ssl.SSLContext
    """Trusts the server's certificate."""

    def post(self) -> int:
        """Post a message as a stage does, with a connection of its own; return the status."""
        request = urllib.request.Request(
            f"https://localhost:{self.port}{progress_path('team-a', 'reviews')}",
            data=json.dumps(MESSAGE).encode(),
            headers={"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=20, context=self.tls) as reply:
            return reply.status


@contextlib.contextmanager
def progress_process(certificate: Path) -> Iterator[RunningProgressServer]:
    """Run a progress server. certificate: a folder with tls.crt, tls.key and ca.crt."""
    command = [sys.executable, __file__, str(certificate)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, text=True) as process:
        try:
            assert process.stdout is not None
            port = int(process.stdout.readline())
            yield RunningProgressServer(
                process.pid, port, ssl.create_default_context(cafile=str(certificate / "ca.crt"))
            )
        finally:
            process.kill()


async def _serve(folder: Path) -> None:
    server = ProgressServer(
        authenticator=LocalAuthenticator(TOKEN), knows_job=lambda _, __: True, on_progress=lambda _, __, ___: True
    )
    async with served(server.application(), port=0, tls=ServerCertificate(folder).context) as port:
        print(port, flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_serve(Path(sys.argv[1])))
