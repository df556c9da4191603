"""When an evaluation or a save is due: pure functions of the step and of rank 0's clock."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field
from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tuneloop_api.contract.settings import CheckpointSettings, EvaluateEverySettings

LONGEST_SECONDS, SHORTEST_SECONDS = 900.0, 10.0
"""Bounds of the planned time between two saves."""
BLOCKING_FRACTION = 0.01
"""Highest part of the time that training waits for saves, where the time between saves is planned."""
RETRY_SECONDS = 10.0
"""Shortest time from a failed save to the next save."""


def planned_seconds(*, blocking: float, saving: float) -> float:
    """Return the seconds from one save to the next, for saves that take `saving` seconds and make training wait for `blocking` of them."""
    return min(LONGEST_SECONDS, max(SHORTEST_SECONDS, blocking / BLOCKING_FRACTION, saving))


@dataclass
class SaveTimes:
    """Durations of the saves of this attempt, in seconds."""

    _blocking: deque[float] = field(default_factory=lambda: deque(maxlen=5))
    _saving: deque[float] = field(default_factory=lambda: deque(maxlen=1000))

    def add(self, *, blocking: float, saving: float) -> None:
        """Add a committed save: the time that training waited for it, and the time from its begin to its commit."""
        self._blocking.append(blocking)
        self._saving.append(saving)

    def p95(self) -> float | None:
        """Return the 95th percentile (nearest rank) of the time from begin to commit; None before the first save."""
        ordered = sorted(self._saving)
        return ordered[math.ceil(0.95 * len(ordered)) - 1] if ordered else None

    def planned_seconds(self) -> float:
        """Return the planned time between two saves; before the first save the shortest time, so that there is soon a duration to plan with."""
        if not self._blocking:
            return SHORTEST_SECONDS
        return planned_seconds(blocking=median(self._blocking), saving=self._saving[-1])


@dataclass(frozen=True, kw_only=True)
class SaveAndEvalIntervals:
    """How often the validation split is evaluated and a checkpoint is saved."""

    evaluate_every: EvaluateEverySettings
    checkpoint: CheckpointSettings
    steps_per_epoch: int
    total_steps: int

    def evaluation_due(self, done: int) -> bool:
        """Tell whether to evaluate after `done` steps: at the end of every period, and after the last step."""
        every = self.evaluate_every
        period = float(every.steps) if every.steps is not None else (every.epochs or 1.0) * self.steps_per_epoch
        return done == self.total_steps or (done > 0 and int(done / period) > int((done - 1) / period))

    def save_due(
        self, done: int, *, seconds_since_save: float, planned: float, seconds_since_failure: float = math.inf
    ) -> bool:
        """Tell whether to begin a save after `done` steps; only rank 0's clock counts.

        seconds_since_save: since the last save began. planned: seconds between two saves where the spec gives no interval.
        """
        every = self.checkpoint
        if seconds_since_failure < RETRY_SECONDS:
            return False
        if every.every_steps is not None:
            return done % every.every_steps == 0
        return seconds_since_save >= (planned if every.every_seconds is None else every.every_seconds)
