"""The memory of a session's processes, from /proc."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from soak_memory import CANARY, SERVER, SESSION, Process, role_of

if TYPE_CHECKING:
    from collections.abc import Iterator


def memory_by_role(*, starting: set[int], staying: set[int]) -> Iterator[tuple[str, Process, float]]:
    """Yield the memory of this process and of all that descend from it and have a role, but for pods that start.

    staying: the process ids of servers that no roll-out replaces.
    """
    children: dict[int, list[int]] = {}
    for path in Path("/proc").glob("[0-9]*"):
        if found := _stat(int(path.name)):
            children.setdefault(int(found[1]), []).append(int(path.name))
    waiting = [os.getpid()]
    while waiting:
        pid = waiting.pop()
        waiting += children.get(pid, [])
        role = SESSION if pid == os.getpid() else role_of(_command(pid))
        if role == SERVER and pid not in staying:
            role = CANARY
        mib, found = _anonymous_mib(pid), _stat(pid)
        if role and mib and found and pid not in starting:
            yield role, Process(pid, int(found[19])), mib


def _stat(pid: int) -> list[str]:
    """Return the fields of /proc/PID/stat from the state on; empty if it is gone."""
    return _read(pid, "stat").rpartition(")")[2].split()


def _command(pid: int) -> list[str]:
    return _read(pid, "cmdline").split("\0")


def _anonymous_mib(pid: int) -> float:
    """Return the memory that is no file's: pages of a library or of a model's file say nothing about growth."""
    lines = [line.split() for line in _read(pid, "status").splitlines() if line.startswith("RssAnon:")]
    return int(lines[0][1]) / 1024 if lines else 0.0


def _read(pid: int, name: str) -> str:
    try:
        return Path(f"/proc/{pid}/{name}").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
