"""Model servers that nobody of ours wrote, run as a rendered pod runs them, with its command, environment, paths and probes. Here is hf-serve of Hugging Face; vLLM: `vllm_server.py`.

The files of hf-serve (27 MB) are installed once, by hash, into `~/.cache/tuneloop/foreign-servers/`; torch and transformers are those of this environment. They may be deleted.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import signal
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
    from collections.abc import Callable, Iterator, Mapping

REQUIREMENTS = Path(__file__).with_name("hf_serve.txt")
_REFERENCE = re.compile(r"\$\(([^)]+)\)")
_SECONDS = 300.0
"""It imports torch and transformers whole, which takes minutes on a machine with other work."""

Fields = dict[str, Any]


@dataclass(frozen=True)
class Program:
    """A program that is installed."""

    python: Path
    folder: Path
    """Its command is in `bin/`."""
    environment: Mapping[str, str]
    """That the image has by itself."""
    seconds: float = _SECONDS
    """That it may take to start."""


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


def hf_serve() -> Program:
    """Return hf-serve, which is installed if it is not there."""
    folder = installed("hf-serve", REQUIREMENTS, _install)
    # HOST keeps the port on this machine
    return Program(Path(sys.executable), folder, {"PYTHONPATH": str(folder), "HOST": "127.0.0.1"})


def installed(name: str, requirements: Path, install: Callable[[Path], None]) -> Path:
    """Return the folder of a program in the user's cache. install: fills a new folder; it is called if there is none for these requirements yet."""
    key = hashlib.sha256(requirements.read_bytes() + sys.version.encode()).hexdigest()[:12]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tuneloop" / "foreign-servers"
    folder = cache / f"{name}-{key}"
    if not folder.is_dir():
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as made:
            install(Path(made, "new"))
            with contextlib.suppress(OSError):  # another process was faster
                Path(made, "new").rename(folder)
    return folder


def run_installer(name: str, *command: str) -> None:
    """Run a command that installs. Skip the test if it fails."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        skip_or_fail(f"{name} cannot be installed: {done.stderr.strip()[-500:]}")


def _install(folder: Path) -> None:
    command = [sys.executable, "-m", "pip", "install", "-q", "--require-hashes", "--no-deps", "--only-binary=:all:"]
    run_installer("hf-serve", *command, "--target", str(folder), "-r", str(REQUIREMENTS))


@contextlib.contextmanager
def running(
    pod: Fields, *, program: Program, artifact: Path, folder: Path, adapters: Mapping[str, Path] | None = None
) -> Iterator[ForeignServer]:
    """Run the container of a pod until it is ready; it is killed at the end, with all its processes. artifact, adapters: what is mounted; folder: of its own."""
    (container,) = pod["containers"]
    mounts = {mount["mountPath"]: folder / mount["name"] for mount in container["volumeMounts"]}
    mounts["/tuneloop/artifact"] = artifact
    mounts |= {f"/tuneloop/adapters/{name}": place for name, place in (adapters or {}).items()}
    for name in ("home", "tmp"):
        (folder / name).mkdir(parents=True)
    path = f"{program.folder}/bin:{os.environ['PATH']}"
    inherited = {"PATH": path, "OMP_NUM_THREADS": "1", **program.environment}
    given = {found["name"]: found.get("value", "pod-field") for found in container["env"]}
    given = {name: _on_this_machine(value, mounts) for name, value in given.items()}
    words = [
        _REFERENCE.sub(lambda found: given[found[1]], _word_on_this_machine(word, mounts))
        for word in (*container["command"], *container["args"])
    ]
    log = folder / "log"
    with log.open("wb") as output:
        command = [str(program.python), str(program.folder / "bin" / words[0]), *words[1:]]
        process = subprocess.Popen(command, stdout=output, stderr=output, env=inherited | given, start_new_session=True)
    server = ForeignServer(process, container, log)
    try:
        until(lambda: _is_started(server), seconds=program.seconds, what="the server is ready")
        yield server
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _is_started(server: ForeignServer) -> bool:
    assert server.process.poll() is None, server.log.read_text()[-2000:]
    return server.probe("startupProbe") == 200


def _word_on_this_machine(word: str, mounts: dict[str, Path]) -> str:
    """Return a word of the command line with its path, which may follow a name: `films=/tuneloop/…`."""
    name, equals, path = word.rpartition("=")
    return f"{name}{equals}{_on_this_machine(path, mounts)}"


def _on_this_machine(text: str, mounts: dict[str, Path]) -> str:
    """Return a path of the pod as the path of this machine; another text as it is."""
    for prefix, place in mounts.items():
        if text == prefix or text.startswith(f"{prefix}/"):
            return f"{place}{text[len(prefix) :]}"
    return text
