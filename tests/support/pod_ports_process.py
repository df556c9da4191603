"""The operator's two ports for pods as a process of their own: `python pod_ports_process.py TLS_FOLDER`.

It prints the port of each, takes any job's progress, and gives any router generation 3 of its split. The token of a router begins as that of all stages, and then has the router's name.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import ssl
import subprocess
import sys
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tuneloop_api.contract.progress import progress_path
from tuneloop_api.contract.router import RoutedRevision, RouterSplit, split_path
from tuneloop_operator.progress.server import LocalAuthenticator, ProgressServer
from tuneloop_operator.progress.tls import ServerCertificate
from tuneloop_operator.routers.server import ROUTER_LIMITS, RouterIdentity, RouterServer
from tuneloop_operator.serving import served

if TYPE_CHECKING:
    from collections.abc import Iterator

TOKEN = "s3cret"
MESSAGE = {"version": 1, "stage": "train", "attempt": 1, "sequence": 1, "sentAt": "2026-01-01T00:00:00Z"}
GENERATION = 3


@dataclass(frozen=True)
class RunningPodPorts:
    """A process that serves."""

    pid: int
    progress_port: int
    router_port: int
    tls: ssl.SSLContext
    """Trusts the server's certificate."""

    def post(self) -> int:
        """Post a message as a stage does, with a connection of its own; return the status."""
        return self._status(self.progress_port, progress_path("team-a", "reviews"), json.dumps(MESSAGE).encode())

    def poll(self, router: str = "a", *, in_force: int = 0, hold: int = 0) -> int:
        """Ask for the split as a router does, with a connection of its own; return the status."""
        path = f"{split_path('team-a', 'reviews')}?inForce={in_force}&hold={hold}"
        return self._status(self.router_port, path, None, token=f"{TOKEN}-{router}")

    def _status(self, port: int, path: str, data: bytes | None, *, token: str = TOKEN) -> int:
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        request = urllib.request.Request(f"https://localhost:{port}{path}", data=data, headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=30, context=self.tls) as reply:
                return reply.status
        except urllib.error.HTTPError as error:
            return error.code


@contextlib.contextmanager
def pod_ports_process(certificate: Path) -> Iterator[RunningPodPorts]:
    """Run both servers in one process. certificate: a folder with tls.crt, tls.key and ca.crt."""
    command = [sys.executable, __file__, str(certificate)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, text=True) as process:
        try:
            assert process.stdout is not None
            progress_port, router_port = map(int, process.stdout.readline().split())
            tls = ssl.create_default_context(cafile=str(certificate / "ca.crt"))
            yield RunningPodPorts(process.pid, progress_port, router_port, tls)
        finally:
            process.kill()


class _Routers:
    async def authenticate(self, token: str, *, namespace: str, name: str) -> RouterIdentity | None:
        return RouterIdentity(name=token, may_ask=True) if token.startswith(TOKEN) else None


async def _serve(folder: Path) -> None:
    stable = RoutedRevision(name="reviews-1a2b", host="reviews-1a2b.team-a.svc", port=80, weight=100)
    split = RouterSplit(generation=GENERATION, deployment="reviews", revisions=[stable])
    progress = ProgressServer(
        authenticator=LocalAuthenticator(TOKEN), knows_job=lambda _, __: True, on_progress=lambda _, __, ___: True
    )
    routers = RouterServer(authenticator=_Routers(), split_of=lambda _, __: split, on_report=lambda _, __, ___: None)
    tls = ServerCertificate(folder).context
    async with (
        served(progress.application(), port=0, tls=tls) as progress_port,
        served(routers.application(), port=0, tls=tls, limits=ROUTER_LIMITS) as router_port,
    ):
        print(progress_port, router_port, flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_serve(Path(sys.argv[1])))
