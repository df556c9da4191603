"""What can be done to a gang of local mode from outside: signals to its processes, a memory limit, a full disk.

A gang is the supervisors and ranks whose command lines name a folder: `members`.
"""

from __future__ import annotations

import os
import signal
import subprocess
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from required import skip_or_fail

from tuneloop_cli.local.cluster.object_files import ObjectFiles

if TYPE_CHECKING:
    from collections.abc import Iterator

    from workspace import Workspace

    from tuneloop_operator.cluster import Manifest

ROOT_ONLY = "needs root, for a file system or a memory limit of its own"
_MEMORY = Path("/sys/fs/cgroup/memory")
_UNIFIED = Path("/sys/fs/cgroup")


@dataclass(frozen=True)
class Member:
    """A living process of a gang."""

    pid: int
    rank: int | None
    """None: a supervisor."""
    node: int
    """Index of its pod."""

    def send(self, number: signal.Signals) -> None:
        """Send a signal, if the process is still there."""
        with suppress(ProcessLookupError):
            os.kill(self.pid, number)


def stored_job(workspace: Workspace, name: str = "reviews") -> Manifest:
    """Return the FineTuneJob as its file says; an empty one before it is there."""
    return ObjectFiles(workspace.path / ".tuneloop").read("FineTuneJob", "default", name) or {}


def members(folder: Path) -> list[Member]:
    """Return the supervisors and ranks that work in a folder."""
    found = (_member(process, str(folder).encode()) for process in Path("/proc").glob("[0-9]*"))
    return [member for member in found if member is not None]


def ranks(folder: Path) -> dict[int, Member]:
    """Return the ranks that work in a folder, by rank."""
    return {member.rank: member for member in members(folder) if member.rank is not None}


def supervisors(folder: Path) -> dict[int, Member]:
    """Return the supervisors that work in a folder, by the index of their pod."""
    return {member.node: member for member in members(folder) if member.rank is None}


@contextmanager
def small_disk(folder: Path, *, megabytes: float) -> Iterator[Path]:
    """Make a folder a file system of its own; skip the test where none can be mounted."""
    folder.mkdir(parents=True, exist_ok=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={int(megabytes * 1024)}k", "tmpfs", str(folder)]
    mounted = subprocess.run(mount, check=False, capture_output=True, text=True)
    if mounted.returncode:
        skip_or_fail(f"a small volume cannot be mounted: {mounted.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True, capture_output=True)


def fill(folder: Path) -> Path:
    """Take all the space that a file system has left; returns the file to delete."""
    file = folder / "filler"
    with suppress(OSError), file.open("wb", buffering=0) as taken:
        while True:
            taken.write(bytes(1 << 16))
    return file


@contextmanager
def memory_group(name: str) -> Iterator[MemoryGroup]:
    """Make a control group without a limit, version 2 or 1; skip the test where none can be made."""
    group = MemoryGroup(_own_group() / f"{name}-{os.getpid()}")
    try:
        group.path.mkdir()
        group.limit(None)
    except OSError as error:
        skip_or_fail(f"no control group with a memory limit can be made: {error}")
    try:
        yield group
    finally:
        with suppress(OSError):
            group.path.rmdir()


@dataclass(frozen=True)
class MemoryGroup:
    """A control group of the kernel's memory controller."""

    path: Path

    def take_in(self, pid: int) -> None:
        """Move a process in; what it starts from then on belongs to the group, too."""
        (self.path / "cgroup.procs").write_text(str(pid))

    def limit(self, limit: int | None) -> None:
        """Allow so many bytes, or as many as there are."""
        if self._is_v1:
            (self.path / "memory.limit_in_bytes").write_text(str(-1 if limit is None else limit))
        else:
            (self.path / "memory.max").write_text("max" if limit is None else str(limit))

    @property
    def _is_v1(self) -> bool:
        return _MEMORY in self.path.parents


def _own_group() -> Path:
    """Return the group of this process below which others may be made."""
    entries = [line.split(":", 2) for line in Path("/proc/self/cgroup").read_text().splitlines()]
    if _MEMORY.is_dir():
        path = next((path for _, names, path in entries if "memory" in names.split(",")), "/")
        return _MEMORY / path.strip("/")
    return _UNIFIED


def _member(process: Path, folder: bytes) -> Member | None:
    try:
        words = (process / "cmdline").read_bytes().split(b"\0")
        if not any(word.startswith(folder + b"/") for word in words) or b"tuneloop_trainer" not in words:
            return None
        variables = (process / "environ").read_bytes().split(b"\0")
    except OSError:  # gone
        return None
    environment = dict(variable.split(b"=", 1) for variable in variables if b"=" in variable)
    node = int(environment.get(b"NODE_RANK", b"0"))
    if b"train" in words:
        return Member(int(process.name), int(environment.get(b"RANK", b"0")), node)
    return Member(int(process.name), None, node) if b"supervise" in words else None
