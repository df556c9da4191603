"""The pods' processes as the kernel knows them: who is alive, whose they are, how they are ended.

A record is a file `pids/<pod uid>` with the pid and the start time of the pod's first process: a pid that was given away has another
start time. A process belongs to a pod if it is that first one, or if its environment carries the pod's uid, as all its descendants' do.
"""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

POD_UID_VARIABLE = "TUNELOOP_POD_UID"


@dataclass(frozen=True, kw_only=True)
class PodProcess:
    """The first process of a pod, as its record says."""

    pod_uid: str
    pid: int
    start_time: int
    """Clock ticks from the machine's start to the process's."""


def record(directory: Path, *, pod_uid: str, pid: int) -> PodProcess:
    """Write down a process that was just started."""
    process = PodProcess(pod_uid=pod_uid, pid=pid, start_time=start_time(pid) or 0)
    folder = directory / "pids"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / pod_uid).write_text(f"{process.pid} {process.start_time}\n")
    return process


def forget(directory: Path, pod_uid: str) -> None:
    """Drop the record of a pod whose processes are gone."""
    (directory / "pids" / pod_uid).unlink(missing_ok=True)


def recorded(directory: Path) -> list[PodProcess]:
    """Return every process that was started under the folder and whose end was not seen."""
    found = []
    for path in (directory / "pids").glob("*"):
        fields = path.read_text().split()
        pid, started = map(int, fields) if len(fields) == 2 else (0, 0)  # killed while it wrote the record
        found.append(PodProcess(pod_uid=path.name, pid=pid, start_time=started))
    return found


def end_survivors(directory: Path, *, within_seconds: float = 10.0) -> int:
    """Kill every process of every recorded pod; return how many there were. The record of a pod goes once none of them is left."""
    known = recorded(directory)
    killed = kill_all(known, within_seconds=within_seconds)
    for process in known:
        if not members([process]):
            forget(directory, process.pod_uid)
    return killed


def kill_all(pods: list[PodProcess], *, within_seconds: float = 10.0) -> int:
    """Kill every living process of these pods, also those that are born meanwhile; return how many there were."""
    killed: set[int] = set()
    deadline = time.monotonic() + within_seconds
    while (alive := members(pods)) and time.monotonic() < deadline:
        for pid in alive:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        killed |= alive
        time.sleep(0.01)
    return len(killed)


def members(pods: list[PodProcess]) -> set[int]:
    """Return the pids of all living processes of these pods."""
    if not pods:
        return set()
    marks = {f"{POD_UID_VARIABLE}={pod.pod_uid}".encode() for pod in pods}
    leaders = {pod.pid: pod.start_time for pod in pods}
    return {int(each.name) for each in Path("/proc").glob("[0-9]*") if _belongs(int(each.name), marks, leaders)}


def _belongs(pid: int, marks: set[bytes], leaders: dict[int, int]) -> bool:
    fields = _stat(pid)
    if fields is None or fields[0] == "Z":
        return False
    if leaders.get(pid) == int(fields[19]):
        return True
    try:
        environment = Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:  # another user's, or gone
        return False
    return not marks.isdisjoint(environment.split(b"\0"))


def start_time(pid: int) -> int | None:
    """Return when a process started, in clock ticks from the machine's start; None if there is no such process."""
    fields = _stat(pid)
    return int(fields[19]) if fields else None


def runs_since(pid: int, started: int) -> bool:
    """Whether the process that has this pid is the one that started then, and has not ended."""
    fields = _stat(pid)
    return fields is not None and fields[0] != "Z" and int(fields[19]) == started


def _stat(pid: int) -> list[str] | None:
    """Return the fields of /proc/PID/stat behind the program's name."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return None
