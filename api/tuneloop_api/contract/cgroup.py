"""Reads the control group of this process: its CPU quota, its memory, and how often the out-of-memory killer ran in it. Imports nothing of ours.

Trainer and server size their threads by the quota. Reads version 2 and version 1. A process without a control group, or without read access to it, gets the values of the machine.
"""

from __future__ import annotations

import math
import os
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
OWN = Path("/proc/self/cgroup")
MEMINFO = Path("/proc/meminfo")
_CACHED = ("active_file", "inactive_file")


def usable_cores() -> int:
    """Return how many cores this process may use: its affinity, cut by the CPU quota; at least 1."""
    cores = len(os.sched_getaffinity(0))
    quota = cpu_quota()
    return cores if quota is None else max(1, min(cores, math.floor(quota)))


def cpu_quota() -> float | None:
    """Return the CPU quota in cores; None: no limit."""
    limit = _words(_file("", "cpu.max"))
    if len(limit) == 2:
        return None if limit[0] == "max" else int(limit[0]) / int(limit[1])
    quota, period = (_words(_file("cpu", f"cpu.cfs_{name}_us")) for name in ("quota", "period"))
    return int(quota[0]) / int(period[0]) if quota and period and int(quota[0]) > 0 else None


def oom_kills() -> int:
    """Return how many processes of the group the out-of-memory killer has ended; 0 where the kernel does not count them."""
    for text in (_file("", "memory.events"), _file("memory", "memory.oom_control")):
        for line in (text or "").splitlines():
            name, _, count = line.partition(" ")
            if name == "oom_kill":
                return int(count)
    return 0


def free_memory() -> int:
    """Return the bytes that this process may still take: what is available on the machine, and in its group. Files that the kernel caches are free."""
    available = [
        1024 * int(line.split()[1]) for line in MEMINFO.read_text().splitlines() if line.startswith("MemAvailable:")
    ]
    names = (("", "memory.max", "memory.current"), ("memory", "memory.limit_in_bytes", "memory.usage_in_bytes"))
    for controller, limit_name, used_name in names:
        limit, used = _words(_file(controller, limit_name)), _words(_file(controller, used_name))
        if limit and used and limit[0] != "max":
            cached = _words(_file(controller, "memory.stat"))
            files = [int(size) for name, size in zip(cached[::2], cached[1::2], strict=False) if name in _CACHED]
            available.append(int(limit[0]) - int(used[0]) + sum(files))
    return max(0, min(available))


def _file(controller: str, name: str) -> str | None:
    """Read a file of this process's group. In a container with a cgroup namespace the file lies at the root."""
    folder = ROOT / controller
    for place in (folder / _own_path(controller).lstrip("/"), folder):
        try:
            return (place / name).read_text()
        except OSError:
            continue
    return None


def _own_path(controller: str) -> str:
    try:
        entries = [line.split(":", 2) for line in OWN.read_text().splitlines()]
    except OSError:
        return ""
    return next((path for _, names, path in entries if controller in names.split(",")), "")


def _words(text: str | None) -> list[str]:
    return (text or "").split()
