"""The control group below which the kubelet puts every pod: one folder in each hierarchy (on cgroup v2 there is one hierarchy)."""

from __future__ import annotations

import errno
import os
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING

from cluster import processes
from cluster.errors import ClusterError

if TYPE_CHECKING:
    from collections.abc import Iterator

NAME = "devk8s"
_GONE_WITHIN_SECONDS = 10


def create() -> None:
    """Make the group in every hierarchy; a kubelet does not start without the group."""
    for root in _hierarchies():
        group = root / NAME
        group.mkdir(exist_ok=True)
        for file in ("cpuset.cpus", "cpuset.mems"):
            if (root / file).exists():  # v1: a new group may run on no processor until these files are filled
                (group / file).write_text((root / file).read_text())


def end_processes() -> None:
    """Kill every process in the group. Raises ClusterError if a process does not end."""
    deadline = time.monotonic() + _GONE_WITHIN_SECONDS
    while pids := _pids():
        if time.monotonic() > deadline:
            raise ClusterError(f"processes {sorted(pids)} of pods did not end within {_GONE_WITHIN_SECONDS} s")
        for pid in pids:
            processes.send(pid, signal.SIGKILL)
        time.sleep(0.02)


def remove() -> None:
    """Remove the group. containerd must have ended, because it removes parts of the group too. Raises ClusterError if the group stays in use."""
    deadline = time.monotonic() + _GONE_WITHIN_SECONDS
    for folder in (Path(folder) for group in _groups() for folder, _, _ in os.walk(group, topdown=False)):
        while not _removed(folder):  # the kernel frees it a moment after its last process
            if time.monotonic() > deadline:
                raise ClusterError(f"{folder} could not be removed within {_GONE_WITHIN_SECONDS} s")
            time.sleep(0.02)


def _hierarchies() -> Iterator[Path]:
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        if " - cgroup " in line or " - cgroup2 " in line:
            yield Path(line.split()[4])


def _groups() -> list[Path]:
    return [root / NAME for root in _hierarchies() if (root / NAME).is_dir()]


def _pids() -> set[int]:
    return {pid for group in _groups() for folder, _, _ in os.walk(group) for pid in _members(Path(folder))}


def _members(folder: Path) -> list[int]:
    try:
        return [int(pid) for pid in (folder / "cgroup.procs").read_text().split()]
    except OSError:  # containerd removed it meanwhile
        return []


def _removed(folder: Path) -> bool:
    try:
        folder.rmdir()
    except FileNotFoundError:
        return True
    except OSError as error:
        if error.errno != errno.EBUSY:
            raise
        return False
    return True
