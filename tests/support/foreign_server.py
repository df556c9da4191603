"""A model server that nobody of ours wrote: hf-serve of Hugging Face, run as a rendered pod runs it, with its command, environment, paths and probes.

Its files (27 MB) are installed once, by hash, into `~/.cache/tuneloop/foreign-servers/`; torch and transformers are those of this environment. They may be deleted.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
from required import skip_or_fail
from waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator

REQUIREMENTS = Path(__file__).with_name("hf_serve.txt")
_REFERENCE = re.compile(r"\$\(([^)]+)\)")
_SECONDS = 300.0
"""It imports torch and transformers whole, which takes minutes on a machine with other work."""

Fields = dict[str, Any]


@dataclass(frozen=True)
class ForeignServer:
    """A process of the container's command."""

    process: subprocess.Popen[bytes]
    container: Fields
    log: Path

    def probe(self, name: str) -> int:
        """Return the status that the kubelet would get of a probe; 0: no connection."""
        asked = self.container[name]["httpGet"]
        return self.get(asked["path"], port=asked["port"])

    def get(self, path: str, *, port: str = "http") -> int:
        with contextlib.suppress(httpx.TransportError):
            return httpx.get(f"http://127.0.0.1:{self.port(port)}{path}", timeout=_SECONDS).status_code
        return 0

    def port(self, name: str = "http") -> int:
        return {found["name"]: found["containerPort"] for found in self.container["ports"]}[name]


def program() -> Path:
    """Return the folder of the program, which is installed if it is not there."""
    key = hashlib.sha256(REQUIREMENTS.read_bytes() + sys.version.encode()).hexdigest()[:12]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tuneloop" / "foreign-servers"
    folder = cache / f"hf-serve-{key}"
    if not folder.is_dir():
        cache.mkdir(parents=True, exist_ok=True)
        _install(folder, cache)
    return folder


def _install(folder: Path, cache: Path) -> None:
    with tempfile.TemporaryDirectory(dir=cache) as made:
        command = [sys.executable, "-m", "pip", "install", "-q", "--require-hashes", "--no-deps", "--only-binary=:all:"]
        done = subprocess.run(
            [*command, "--target", f"{made}/new", "-r", str(REQUIREMENTS)], capture_output=True, text=True, check=False
        )
        if done.returncode:
            skip_or_fail(f"hf-serve cannot be installed: {done.stderr.strip()[-500:]}")
        with contextlib.suppress(OSError):  # another process was faster
            Path(made, "new").rename(folder)


@contextlib.contextmanager
def running(pod: Fields, *, artifact: Path, folder: Path) -> Iterator[ForeignServer]:
    """Run the container of a pod until it is ready; it is killed at the end. artifact: what is mounted; folder: of its own."""
    (container,) = pod["containers"]
    mounts = {mount["mountPath"]: folder / mount["name"] for mount in container["volumeMounts"]}
    mounts["/tuneloop/artifact"] = artifact
    for name in ("home", "tmp"):
        (folder / name).mkdir(parents=True)
    # the image's own environment; HOST keeps the port on this machine
    inherited = {"PATH": os.environ["PATH"], "PYTHONPATH": str(program()), "HOST": "127.0.0.1", "OMP_NUM_THREADS": "1"}
    given = {found["name"]: found.get("value", "pod-field") for found in container["env"]}
    given = {name: _on_this_machine(value, mounts) for name, value in given.items()}
    words = [
        _REFERENCE.sub(lambda found: given[found[1]], word) for word in (*container["command"], *container["args"])
    ]
    log = folder / "log"
    with log.open("wb") as output:
        command = [sys.executable, str(program() / "bin" / words[0]), *words[1:]]
        process = subprocess.Popen(command, stdout=output, stderr=output, env=inherited | given)
    server = ForeignServer(process, container, log)
    try:
        until(lambda: _is_started(server), seconds=_SECONDS, what="the server is ready")
        yield server
    finally:
        process.kill()
        process.wait()


def _is_started(server: ForeignServer) -> bool:
    assert server.process.poll() is None, server.log.read_text()[-2000:]
    return server.probe("startupProbe") == 200


def _on_this_machine(text: str, mounts: dict[str, Path]) -> str:
    """Return a path of the pod as the path of this machine; another text as it is."""
    for prefix, place in mounts.items():
        if text == prefix or text.startswith(f"{prefix}/"):
            return f"{place}{text[len(prefix) :]}"
    return text
