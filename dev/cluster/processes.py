"""Starts programs, records them, and ends the recorded programs and no others.

A record is a file `pids/<name>` with the pid and the start time of the process. A process that reuses the pid has another start time, so
it is never signalled.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from cluster.errors import ClusterError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_PR_SET_PDEATHSIG = 1
_READY_WITHIN_SECONDS = 60
_KILLED_WITHIN_SECONDS = 8.0
_LIBC = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True)
class Recorded:
    """The record of a program that was started."""

    name: str
    pid: int
    start_time: int
    """When the process started, in clock ticks after the boot."""

    @property
    def alive(self) -> bool:
        """Whether the recorded process still runs."""
        stat = _stat(self.pid)
        return stat is not None and stat[0] != "Z" and int(stat[19]) == self.start_time

    def usage(self) -> tuple[int, float]:
        """Return the memory (resident bytes) and the processor time (seconds) used; zeros when it is gone."""
        stat = _stat(self.pid)
        if stat is None:
            return 0, 0.0
        ticks = os.sysconf("SC_CLK_TCK")
        return int(stat[21]) * os.sysconf("SC_PAGE_SIZE"), (int(stat[11]) + int(stat[12])) / ticks


@dataclass
class Programs:
    """The programs of one state folder: those of this process, and those that an earlier command recorded."""

    state: Path
    die_with_parent: bool
    """Whether the programs are killed when the thread that started them ends, however it ends."""
    _started: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict, init=False)

    def start(self, name: str, command: Sequence[str], *, environment: Mapping[str, str] | None = None) -> None:
        """Start a program in its own session, with its output in `logs/<name>.log`, and record it under `pids/`."""
        for folder in ("logs", "pids"):
            (self.state / folder).mkdir(parents=True, exist_ok=True)
        with self.log(name).open("ab") as log:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                cwd=self.state,
                env=os.environ | (environment or {}),
                preexec_fn=_follow_parent(os.getpid()) if self.die_with_parent else None,  # noqa: PLW1509 it takes no lock
            )
        stat = _stat(process.pid)
        started = int(stat[19]) if stat else 0
        (self.state / "pids" / name).write_text(f"{process.pid} {started}\n")
        self._started[name] = process

    def log(self, name: str) -> Path:
        """Return the file with a program's output."""
        return self.state / "logs" / f"{name}.log"

    def wait_for(self, what: str, condition: Callable[[], bool], *, program: str) -> None:
        """Return once the condition holds.

        Raises ClusterError at once when any program that this process started has ended; at the deadline, with the log of `program`.
        """
        deadline = time.monotonic() + _READY_WITHIN_SECONDS
        while not condition():
            for name, process in self._started.items():
                if process.poll() is not None:
                    raise ClusterError(f"{name} ended with {process.returncode}:\n{self._log_tail(name)}")
            if time.monotonic() > deadline:
                raise ClusterError(f"{what} was not ready within {_READY_WITHIN_SECONDS} s:\n{self._log_tail(program)}")
            time.sleep(0.05)

    def stop(self, *names: str, grace_seconds: float = 8.0) -> None:
        """End these programs one after another, with SIGTERM and, after the grace period, SIGKILL; remove their records."""
        for program in (program for name in names for program in recorded(self.state) if program.name == name):
            _end(program, grace_seconds=grace_seconds)
            (self.state / "pids" / program.name).unlink(missing_ok=True)
            if process := self._started.pop(program.name, None):
                process.wait()

    def _log_tail(self, name: str) -> str:
        return "\n".join(self.log(name).read_text(errors="replace").splitlines()[-15:])


def recorded(state: Path) -> list[Recorded]:
    """Return the recorded programs of a state folder, the latest first."""
    files = sorted((state / "pids").glob("*"), key=lambda path: path.stat().st_mtime_ns, reverse=True)
    return [Recorded(path.name, *map(int, path.read_text().split())) for path in files]


def working_in(folder: Path) -> list[int]:
    """Return the processes whose working folder is this folder, even if it has been deleted."""
    links = Path("/proc").glob("[0-9]*/cwd")
    return [int(link.parent.name) for link in links if _target(link).removesuffix(" (deleted)") == str(folder)]


def _target(link: Path) -> str:
    try:
        return str(link.readlink())
    except OSError:  # the process has ended, or belongs to another user
        return ""


def send(pid: int, number: int) -> None:
    """Send a signal to a process, unless the process has ended meanwhile."""
    with suppress(ProcessLookupError):
        os.kill(pid, number)


def _end(program: Recorded, *, grace_seconds: float) -> None:
    if program.alive and grace_seconds:
        send(program.pid, signal.SIGTERM)
        _wait_until(lambda: not program.alive, seconds=grace_seconds)
    if program.alive:
        send(program.pid, signal.SIGKILL)
        _wait_until(lambda: not program.alive, seconds=_KILLED_WITHIN_SECONDS)


def _follow_parent(parent: int) -> Callable[[], None]:
    def hook() -> None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # the parent died before the request
            os._exit(1)

    return hook


def _stat(pid: int) -> list[str] | None:
    """Return the fields of /proc/PID/stat after the program's name; None when there is no such process."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return None


def _wait_until(condition: Callable[[], bool], *, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)
