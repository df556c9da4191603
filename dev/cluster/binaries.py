"""Builds the programs of the control plane from the pinned Go modules in `build/`, once per machine.

The result lies in `~/.cache/tuneloop/devcluster/<key>/`, where the key is a hash of the build folder and the Go version: a change of
either builds anew, and everything else is a cache hit. A cold build takes about seven minutes on two cores, a warm Go cache seconds.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cluster import go_toolchain

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

BUILD_FOLDER = Path(__file__).parent / "build"
KUBERNETES = "v1.36.3"
_PROGRESS_SECONDS = 30


class BuildError(Exception):
    """A program could not be built; the message says which, and ends with the compiler's last lines."""


@dataclass(frozen=True)
class Program:
    """One `go build`: a folder with a go.mod, a package, and the names under which the result is called."""

    module: str
    package: str
    linker_flags: str
    names: tuple[str, ...]
    """The file's own name first; the others become links to it."""


_VERSION = "k8s.io/component-base/version"
PROGRAMS = (
    Program(module="etcd", package="go.etcd.io/etcd/server/v3", linker_flags="-s -w", names=("etcd",)),
    Program(
        module="k8s",
        package=".",
        linker_flags=f"-s -w -X {_VERSION}.gitVersion={KUBERNETES} -X {_VERSION}.gitMajor=1 -X {_VERSION}.gitMinor=36",
        names=("k8s", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubectl"),
    ),
)


def cache_folder() -> Path:
    """Return where programs are kept between checkouts."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tuneloop" / "devcluster"


def ensure(*, say: Callable[[str], None] = print) -> Path:
    """Return a folder with etcd, kube-apiserver, kube-controller-manager, kube-scheduler and kubectl; build what is missing.

    Two callers at once build once: the second waits for the first. Raises BuildError, or ToolchainError when there is no Go.
    """
    cache = cache_folder()
    cache.mkdir(parents=True, exist_ok=True)
    with _locked(cache / "go.lock", say=say):
        lowest = max(go_toolchain.demanded(path) for path in BUILD_FOLDER.glob("*/go.mod"))
        go = go_toolchain.find_or_install(lowest=lowest, cache=cache, say=say)
    folder = cache / cache_key(BUILD_FOLDER, go_version=go_toolchain.version(go))
    if folder.is_dir():
        return folder
    with _locked(cache / f"{folder.name}.lock", say=say):
        if not folder.is_dir():
            _build_all(go, folder=folder, say=say)
    return folder


def cache_key(build_folder: Path, *, go_version: str) -> str:
    """Return the name of the cache folder for these sources, this recipe and this compiler."""
    digest = hashlib.sha256(f"{go_version}\n{PROGRAMS}\n".encode())
    for path in sorted(build_folder.rglob("*")):
        if path.is_file():
            digest.update(f"{path.relative_to(build_folder)}\n{path.stat().st_size}\n".encode() + path.read_bytes())
    return f"{KUBERNETES}-{digest.hexdigest()[:16]}"


def _build_all(go: Path, *, folder: Path, say: Callable[[str], None]) -> None:
    """Build into a folder beside `folder` and rename it at the end, so that a folder of that name is always whole."""
    partial = folder.with_name(f"{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)  # of a build that was killed: the lock says that nobody else is building
    partial.mkdir()
    for program in PROGRAMS:
        _build(program, go=go, out=partial, say=say)
    partial.rename(folder)


def _build(program: Program, *, go: Path, out: Path, say: Callable[[str], None]) -> None:
    name, *links = program.names
    command = [str(go), "build", "-trimpath", "-ldflags", program.linker_flags, "-o", str(out / name), program.package]
    started = time.monotonic()
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen(
            command,
            cwd=BUILD_FOLDER / program.module,
            env=go_toolchain.environment(go),
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        say(f"building {name} from its Go modules (minutes the first time)")
        try:
            _wait(process, name=name, started=started, say=say)
        finally:
            process.kill()
            process.wait()
        output.seek(0)
        tail = "\n".join(output.read().splitlines()[-15:])
    if process.returncode != 0:
        raise BuildError(f"go build of {program.module} ended with {process.returncode}:\n{tail}")
    for link in links:
        (out / link).symlink_to(name)
    say(f"built {name} in {time.monotonic() - started:.0f} s")


def _wait(process: subprocess.Popen[bytes], *, name: str, started: float, say: Callable[[str], None]) -> None:
    while True:
        try:
            process.wait(timeout=_PROGRESS_SECONDS)
        except subprocess.TimeoutExpired:
            say(f"building {name}: {time.monotonic() - started:.0f} s so far")
        else:
            return


@contextmanager
def _locked(path: Path, *, say: Callable[[str], None]) -> Iterator[None]:
    """Hold an exclusive lock on a file; the kernel gives it back when its holder ends."""
    with path.open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"another build is under way, waiting for it ({path})")
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
