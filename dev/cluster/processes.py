"""Starts programs, writes down which ones they are, and ends those and no others.

A record is a file `pids/<name>` with the pid and the process's start time: a pid that was given to another process since then has
another start time, so it is never signalled.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True)
class Recorded:
    """A program that was started, as its record says."""

    name: str
    pid: int
    start_time: int
    """Clock ticks between the machine's start and the process's."""

    @property
    def alive(self) -> bool:
        """Whether that same process still runs."""
        stat = _stat(self.pid)
        return stat is not None and stat[0] != "Z" and int(stat[19]) == self.start_time

    def usage(self) -> tuple[int, float]:
        """Return the memory (resident bytes) and the processor time (seconds) used; zeros when it is gone."""
        stat = _stat(self.pid)
        if stat is None:
            return 0, 0.0
        ticks = os.sysconf("SC_CLK_TCK")
        return int(stat[21]) * os.sysconf("SC_PAGE_SIZE"), (int(stat[11]) + int(stat[12])) / ticks


def start(name: str, command: Sequence[str], *, state: Path, die_with_parent: bool) -> subprocess.Popen[bytes]:
    """Start a program in its own session, with its output in `logs/<name>.log`, and record it under `pids/`."""
    for folder in ("logs", "pids"):
        (state / folder).mkdir(parents=True, exist_ok=True)
    with (state / "logs" / f"{name}.log").open("ab") as log:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            cwd=state,
            preexec_fn=_follow_parent(os.getpid()) if die_with_parent else None,  # noqa: PLW1509 it takes no lock
        )
    stat = _stat(process.pid)
    started = int(stat[19]) if stat else 0
    (state / "pids" / name).write_text(f"{process.pid} {started}\n")
    return process


def recorded(state: Path) -> list[Recorded]:
    """Return the programs that were started under a state folder and not ended since, the latest first."""
    files = sorted((state / "pids").glob("*"), key=lambda path: path.stat().st_mtime_ns, reverse=True)
    return [Recorded(path.name, *map(int, path.read_text().split())) for path in files]


def stop(program: Recorded, *, state: Path, grace_seconds: float) -> None:
    """End a program: SIGTERM, then SIGKILL when it is still there after the grace; then drop its record."""
    if program.alive:
        os.kill(program.pid, signal.SIGTERM)
        if not _wait_until(lambda: not program.alive, seconds=grace_seconds):
            os.kill(program.pid, signal.SIGKILL)
            _wait_until(lambda: not program.alive, seconds=grace_seconds)
    (state / "pids" / program.name).unlink(missing_ok=True)


def _follow_parent(parent: int) -> Callable[[], None]:
    def hook() -> None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it died before the request was made
            os._exit(1)

    return hook


def _stat(pid: int) -> list[str] | None:
    """Return the fields of /proc/PID/stat after the program's name; None when there is no such process."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return None


def _wait_until(condition: Callable[[], bool], *, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True
