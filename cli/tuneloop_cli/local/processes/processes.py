"""The processes of pods: which ones live, which pod a process belongs to, and how they are killed.

A record is a file `pids/<pod uid>` with the pid and the start time of the pod's first process; a process that reuses the pid has another
start time. A process belongs to a pod if it is the first process, or if its environment holds the pod's uid, which descendants inherit.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from pathlib import Path

POD_UID_VARIABLE = "TUNELOOP_POD_UID"


@dataclass(frozen=True, kw_only=True)
class PodProcess:
    """The first process of a pod, as its record says."""

    pod_uid: str
    pid: int
    start_time: int
    """When the process started, in clock ticks after the boot."""


def record(directory: Path, *, pod_uid: str, pid: int) -> PodProcess:
    """Record a process that was just started."""
    process = PodProcess(pod_uid=pod_uid, pid=pid, start_time=start_time(pid) or 0)
    folder = directory / "pids"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / pod_uid).write_text(f"{process.pid} {process.start_time}\n")
    return process


def forget(directory: Path, pod_uid: str) -> None:
    """Remove the record of a pod whose processes are gone."""
    (directory / "pids" / pod_uid).unlink(missing_ok=True)


def recorded(directory: Path) -> list[PodProcess]:
    """Return the first process of every pod of the folder whose end is not recorded."""
    found = []
    for path in (directory / "pids").glob("*"):
        fields = path.read_text().split()
        # fewer fields: the session was killed while it wrote the record
        pid, started = map(int, fields) if len(fields) == 2 else (0, 0)
        found.append(PodProcess(pod_uid=path.name, pid=pid, start_time=started))
    return found


def kill_survivors(directory: Path, *, within_seconds: float = 10.0) -> int:
    """Kill every process of every recorded pod; return their number. The record of a pod without a process left is removed."""
    pods = recorded(directory)
    killed = kill_all(pods, within_seconds=within_seconds)
    for process in pods:
        if not living_processes([process]):
            forget(directory, process.pod_uid)
    return killed


def kill_all(pods: list[PodProcess], *, within_seconds: float = 10.0) -> int:
    """Kill every living process of these pods, and those that start meanwhile; return the number of processes killed."""
    killed: set[psutil.Process] = set()
    deadline = time.monotonic() + within_seconds
    while (alive := living_processes(pods)) and time.monotonic() < deadline:
        for process in alive:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        killed |= alive
        time.sleep(0.01)
    return len(killed)


def living_processes(pods: list[PodProcess]) -> set[psutil.Process]:
    """Return all living processes of these pods."""
    if not pods:
        return set()
    uids = {pod.pod_uid for pod in pods}
    first = {pod.pid: pod.start_time for pod in pods}
    # not `process_iter`: it keeps creation times from before a change of the system clock
    found: set[psutil.Process] = set()
    for pid in psutil.pids():
        with suppress(psutil.NoSuchProcess, psutil.AccessDenied):  # it has ended, or belongs to another user
            process = psutil.Process(pid)
            if _belongs(process, uids, first):
                found.add(process)
    return found


def start_time(pid: int) -> int | None:
    """Return when a process started, in clock ticks after the boot; None if there is no such process."""
    with suppress(psutil.NoSuchProcess):
        return _start_ticks(psutil.Process(pid))
    return None


def runs_since(pid: int, started: int) -> bool:
    """Whether the process with this pid started at this time and has not ended."""
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        return not _is_zombie(process) and _start_ticks(process) == started
    return False


def _belongs(process: psutil.Process, uids: set[str], first: dict[int, int]) -> bool:
    if _is_zombie(process):
        return False
    if process.pid in first and _start_ticks(process) == first[process.pid]:
        return True
    return process.environ().get(POD_UID_VARIABLE) in uids


def _is_zombie(process: psutil.Process) -> bool:
    return bool(process.status() == psutil.STATUS_ZOMBIE)


def _start_ticks(process: psutil.Process) -> int:
    """Return the start in ticks after the boot: a time since the epoch would move with the system clock."""
    after_boot: float = process.create_time() - psutil.boot_time()
    return round(after_boot * os.sysconf("SC_CLK_TCK"))
