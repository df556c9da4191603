"""Whether memory grows, by the role of a process. Pure: samples in, slopes with intervals out.

A roll-out replaces canaries, comparators and routers. The successor's memory is no continuation of the predecessor's: a slope is that of a process, and a
role's slope is the mean over all processes that had the role.

The slope of a process is taken inside stretches of a minute that share their ends. What stands between two stretches, such as another load or
another process, is no slope. Stretches are many and nearly independent, so that the interval of their mean is that of Student's t.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from scipy import stats

SESSION, SERVER, CANARY, ROUTER, ENVOY, COMPARATOR = "session", "server", "canary", "router", "Envoy", "comparator"
ROLES = (SESSION, ROUTER, ENVOY, SERVER, CANARY, COMPARATOR)
SHORT_LIVED = frozenset({CANARY})
"""Roles whose processes are replaced before their memory has settled. The slope of a start says nothing about hours."""
_ROLE_OF_WORD = {
    "tuneloop_server.comparator": COMPARATOR,
    "tuneloop_server": SERVER,
    "tuneloop_router": ROUTER,
    "--disable-hot-restart": ENVOY,
}
"""A word that only the command line of such a process has."""
STRETCH_SECONDS = 60.0
SETTLE_SECONDS = 30.0
"""Of each process's life, from its first sample on: caches fill."""
SERVER_SETTLE_SECONDS = 300.0
"""Of a server's life: each new shape of a batch takes memory once, until all have been there."""
_LEAST_SHARE = 0.5
"""Of a stretch's length that must be covered by samples."""
_CONFIDENCE = 0.95
_SECONDS_AN_HOUR = 3600.0


@dataclass(frozen=True)
class Process:
    """One process; another one that reuses the pid has another start time."""

    pid: int
    start_time: int


@dataclass(frozen=True, kw_only=True)
class Stretch:
    """A part of a process's life."""

    slope: float
    """MiB per hour, by least squares."""
    weight: float
    """Sum of the squared distances of its times from their mean: what the variance of the slope falls with."""


@dataclass(frozen=True, kw_only=True)
class Growth:
    """How the memory of a role moves."""

    role: str
    processes: int
    median_mib: float
    most_mib: float
    stretches: int
    slope: float | None
    """MiB per hour; None: no process lived long enough."""
    low: float | None
    """Lower end of the 95 % interval; None: fewer than two stretches."""
    high: float | None

    def exceeds(self, bound: float) -> bool:
        """Whether the slope is above the bound beyond doubt, in a role that lives long enough to tell."""
        return self.role not in SHORT_LIVED and self.low is not None and self.low > bound


@dataclass
class Ledger:
    """The memory of all processes over time, each under its role."""

    samples: dict[tuple[str, Process], list[tuple[float, float]]] = field(default_factory=dict)
    """Seconds and MiB, in the order of time."""

    def add(self, role: str, process: Process, *, seconds: float, mib: float) -> None:
        """Take one sample."""
        self.samples.setdefault((role, process), []).append((seconds, mib))

    def growth(self, role: str) -> Growth:
        """Return how the memory of a role moved; of a role without a process, zeros."""
        settle = SERVER_SETTLE_SECONDS if role == SERVER else SETTLE_SECONDS
        lives = [samples for (of, _), samples in self.samples.items() if of == role]
        parts = [part for life in lives for part in stretches_of(life, settle=settle, seconds=STRETCH_SECONDS)]
        sizes = [mib for life in lives for _, mib in life] or [0.0]
        slope, low, high = _mean_slope(parts)
        return Growth(
            role=role,
            processes=len(lives),
            median_mib=float(np.median(sizes)),
            most_mib=max(sizes),
            stretches=len(parts),
            slope=slope,
            low=low,
            high=high,
        )


def role_of(command: list[str]) -> str | None:
    """Return the role of a process by the words of its command line; None: it has none."""
    return next((role for word, role in _ROLE_OF_WORD.items() if word in command), None)


def stretches_of(life: list[tuple[float, float]], *, settle: float, seconds: float) -> list[Stretch]:
    """Return the stretches of one process's life after it has settled. Neighbours share the sample at which they meet."""
    if not life:
        return []
    begin = life[0][0] + settle
    settled = np.array([sample for sample in life if sample[0] >= begin])
    if not len(settled):
        return []
    count = max(1, round((settled[-1, 0] - settled[0, 0]) / seconds))
    cuts = np.linspace(0, len(settled) - 1, count + 1).round().astype(int)
    parts = [settled[first : last + 1] for first, last in pairwise(cuts)]
    return [_stretch(part) for part in parts if part[-1, 0] - part[0, 0] >= _LEAST_SHARE * seconds]


def _stretch(part: np.ndarray) -> Stretch:
    hours = (part[:, 0] - part[:, 0].mean()) / _SECONDS_AN_HOUR
    weight = float(hours @ hours)
    return Stretch(slope=float(hours @ part[:, 1]) / weight, weight=weight)


def _mean_slope(parts: list[Stretch]) -> tuple[float | None, float | None, float | None]:
    """Return the weighted mean of the slopes and its interval; the spread among the stretches is the only error that is assumed."""
    if not parts:
        return None, None, None
    weights, slopes = (np.array([getattr(part, name) for part in parts]) for name in ("weight", "slope"))
    mean = float(np.average(slopes, weights=weights))
    count = len(parts)
    if count == 1:
        return mean, None, None
    error = np.sqrt(count / (count - 1) * np.sum((weights * (slopes - mean)) ** 2)) / weights.sum()
    half = float(stats.t.ppf((1 + _CONFIDENCE) / 2, count - 1) * error)
    return mean, mean - half, mean + half
