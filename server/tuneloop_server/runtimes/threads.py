"""How many threads compute. The libraries' own default is the machine's cores, whatever the container's limit is."""

from __future__ import annotations

import math
import os

from tuneloop_api.contract.cgroup import cpu_quota


def threads(*, own: int) -> int:
    """Return the number of threads: what the container's quota can keep busy. own: what the library does by itself, which stays where the user sets it."""
    if "OMP_NUM_THREADS" in os.environ:
        return own
    return cores_within(cpu_quota(), cores=len(os.sched_getaffinity(0)))


def cores_within(quota: float | None, *, cores: int) -> int:
    """Return how many cores a quota can keep busy, rounded up. More threads would be throttled most of the time.

    quota: in cores; None: no limit. cores: the cores that the process may run on.
    """
    return cores if quota is None else max(1, min(cores, math.ceil(quota)))
