"""One rank as a child process of the supervisor. It cannot outlive the supervisor, which passes its output on line by line."""

from __future__ import annotations

import ctypes
import os
import select
import signal
import sys
from collections import deque
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING

from tuneloop_api.contract.results import MOST_LAST_LINES

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from tuneloop_trainer.supervisor.start import Child, StartProcess

_PR_SET_CHILD_SUBREAPER = 36
_READ = 1 << 16
_LIBC = ctypes.CDLL(None, use_errno=True)


@dataclass
class RankProcess:
    """A running or ended rank."""

    rank: int
    """Its number among all ranks of the gang."""
    process: Child
    heartbeat: Path
    message: Path
    """The file into which the rank writes its termination message."""
    prefix: bytes
    last_lines: deque[str] = field(default_factory=lambda: deque(maxlen=MOST_LAST_LINES))
    """The newest lines of its stderr."""
    _partial_lines: dict[int, bytes] = field(default_factory=dict)
    """Output behind the last line break, by file descriptor."""

    @property
    def outputs(self) -> list[tuple[IO[bytes], IO[bytes]]]:
        """Return the rank's stdout and stderr, each with the stream to pass it on to."""
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        return [(self.process.stdout, sys.stdout.buffer), (self.process.stderr, sys.stderr.buffer)]

    def pass_on(self, source: IO[bytes], target: IO[bytes]) -> bool:
        """Pass on the new output of the rank in whole lines; returns False at the end of the output."""
        descriptor = source.fileno()
        try:
            read = os.read(descriptor, _READ)
        except BlockingIOError:
            return True
        *lines, rest = (self._partial_lines.pop(descriptor, b"") + read).split(b"\n")
        if not read and rest:
            lines, rest = [*lines, rest], b""
        self._partial_lines[descriptor] = rest
        _write_whole(target, b"".join(self.prefix + line + b"\n" for line in lines))
        if source is self.process.stderr:
            self.last_lines.extend(line.decode(errors="replace").rstrip() for line in lines if line.strip())
        return bool(read)

    def pass_rest_on(self) -> None:
        """Pass on the last output of a rank that has ended."""
        for source, target in self.outputs:
            while select.select([source], [], [], 0)[0] and self.pass_on(source, target):
                pass

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the process of the rank alone."""
        try:
            os.kill(self.process.pid, number)
        except ProcessLookupError:
            return

    def end_group(self) -> None:
        """Kill the processes that the rank started and left behind."""
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            return

    def stopped(self) -> bool:
        """Tell whether a stop signal holds the process."""
        try:
            with open(f"/proc/{self.process.pid}/stat", encoding="utf-8", errors="replace") as file:  # noqa: PTH123
                return file.read().rpartition(")")[2].split()[0] == "T"
        except OSError:
            return False


def start_rank(
    start: StartProcess, *, rank: int, environment: Mapping[str, str], heartbeat: Path, message: Path, prefix: str
) -> RankProcess:
    """Start a rank. Call this from the main thread: the kernel ends the child when the thread that forked it ends."""
    process = start(environment)
    started = RankProcess(rank=rank, process=process, heartbeat=heartbeat, message=message, prefix=prefix.encode())
    for source, _ in started.outputs:
        os.set_blocking(source.fileno(), False)
    return started


def _write_whole(target: IO[bytes], data: bytes) -> None:
    """Write all of the data. Under PYTHONUNBUFFERED the stream has no buffer, and a signal may cut a write short."""
    left = memoryview(data)
    while left:
        left = left[target.write(left) :]
    target.flush()


@contextmanager
def subreaper() -> Iterator[None]:
    """Let orphaned descendants become children of this process meanwhile, as they do under PID 1. Afterwards nobody would wait for them."""
    _LIBC.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    try:
        yield
    finally:
        _LIBC.prctl(_PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)
