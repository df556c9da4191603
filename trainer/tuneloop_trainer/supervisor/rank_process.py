"""One rank as a child process of the supervisor: started so that it cannot outlive it, its output passed on line by line."""

from __future__ import annotations

import ctypes
import os
import select
import signal
import subprocess
import sys
from collections import deque
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

LAST_LINES = 20
_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36
_READ = 1 << 16
_LIBC = ctypes.CDLL(None, use_errno=True)
"""Loaded before any fork: a child must not wait for the loader's lock."""


@dataclass
class RankProcess:
    """A running or ended rank."""

    rank: int
    """Among all ranks of the gang."""
    process: subprocess.Popen[bytes]
    heartbeat: Path
    message: Path
    """Where the rank leaves its termination message."""
    prefix: bytes
    last_lines: deque[str] = field(default_factory=lambda: deque(maxlen=LAST_LINES))
    """The newest lines of its stderr."""
    _unfinished: dict[int, bytes] = field(default_factory=dict)

    @property
    def outputs(self) -> list[tuple[IO[bytes], IO[bytes]]]:
        """Return the rank's stdout and stderr, each with where it is passed on to."""
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        return [(self.process.stdout, sys.stdout.buffer), (self.process.stderr, sys.stderr.buffer)]

    def pass_on(self, source: IO[bytes], target: IO[bytes]) -> bool:
        """Pass on what the rank wrote since, in whole lines; returns False at the end of its output."""
        descriptor = source.fileno()
        try:
            read = os.read(descriptor, _READ)
        except BlockingIOError:
            return True
        *lines, rest = (self._unfinished.pop(descriptor, b"") + read).split(b"\n")
        if not read and rest:
            lines, rest = [*lines, rest], b""
        self._unfinished[descriptor] = rest
        _write_whole(target, b"".join(self.prefix + line + b"\n" for line in lines))
        if source is self.process.stderr:
            self.last_lines.extend(line.decode(errors="replace").rstrip() for line in lines if line.strip())
        return bool(read)

    def pass_rest_on(self) -> None:
        """Pass on what an ended rank wrote last."""
        for source, target in self.outputs:
            while select.select([source], [], [], 0)[0] and self.pass_on(source, target):
                pass

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the rank alone."""
        try:
            os.kill(self.process.pid, number)
        except ProcessLookupError:
            return

    def end_group(self) -> None:
        """Kill what the rank itself started and left behind."""
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            return

    def stopped(self) -> bool:
        """Tell whether the process is held by a stop signal."""
        try:
            with open(f"/proc/{self.process.pid}/stat", encoding="utf-8", errors="replace") as file:  # noqa: PTH123
                return file.read().rpartition(")")[2].split()[0] == "T"
        except OSError:
            return False


def start_rank(
    command: Sequence[str], *, rank: int, environment: Mapping[str, str], heartbeat: Path, message: Path, prefix: str
) -> RankProcess:
    """Start a rank. It must be called from the main thread: the kernel ends the child when the thread that forked it ends."""
    parent = os.getpid()
    process = subprocess.Popen(
        command,
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        process_group=0,
        preexec_fn=lambda: _die_with(parent),  # noqa: PLW1509  (this program has no other threads)
    )
    started = RankProcess(rank=rank, process=process, heartbeat=heartbeat, message=message, prefix=prefix.encode())
    for source, _ in started.outputs:
        os.set_blocking(source.fileno(), False)
    return started


def _write_whole(target: IO[bytes], data: bytes) -> None:
    """Write all of it: under PYTHONUNBUFFERED nothing lies between us and the pipe, and a signal cuts a write short."""
    left = memoryview(data)
    while left:
        left = left[target.write(left) :]
    target.flush()


def adopt_orphans() -> None:
    """Make this process the parent of whatever its children leave behind, as PID 1 is by nature."""
    _LIBC.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _die_with(parent: int) -> None:
    """In the child, before it runs the command: be killed when the parent dies, or at once if it is dead already."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)
