"""When something is due during training: pure functions of the step."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field
from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tuneloop_api.contract.run_config import CheckpointSettings, EvaluateEverySettings

LONGEST_SECONDS, SHORTEST_SECONDS = 900.0, 10.0
"""Bounds of the planned time between two saves."""
BLOCKING_FRACTION = 0.01
"""Part of the time that training may wait for saves, where the time between them is planned."""
RETRY_SECONDS = 10.0
"""Time before a save that failed is tried again, unless the rhythm asks for it later."""


def planned_seconds(*, blocking: float, saving: float) -> float:
    """Return the time from one save to the next for which training waits `blocking` seconds in a save that takes `saving` seconds in all."""
    return min(LONGEST_SECONDS, max(SHORTEST_SECONDS, blocking / BLOCKING_FRACTION, saving))


@dataclass
class SaveTimes:
    """What the saves of this attempt took, in seconds."""

    _blocking: deque[float] = field(default_factory=lambda: deque(maxlen=5))
    _saving: deque[float] = field(default_factory=lambda: deque(maxlen=1000))

    def add(self, *, blocking: float, saving: float) -> None:
        """Count a committed save: what training waited for it, and the time from its begin to its commit."""
        self._blocking.append(blocking)
        self._saving.append(saving)

    def p95(self) -> float | None:
        """Return the 95th percentile (nearest rank) of the time from begin to commit; None before the first save."""
        ordered = sorted(self._saving)
        return ordered[math.ceil(0.95 * len(ordered)) - 1] if ordered else None

    def planned_seconds(self) -> float:
        """Return the planned time between two saves; before the first, the shortest, so that there is soon something to plan with."""
        if not self._blocking:
            return SHORTEST_SECONDS
        return planned_seconds(blocking=median(self._blocking), saving=self._saving[-1])


@dataclass(frozen=True, kw_only=True)
class SaveAndEvalIntervals:
    """How often the validation split is measured and progress is saved."""

    evaluate_every: EvaluateEverySettings
    checkpoint: CheckpointSettings
    steps_per_epoch: int
    total_steps: int

    def evaluation_due(self, done: int) -> bool:
        """Tell whether to measure after `done` steps: each time another period is full, and at the end."""
        every = self.evaluate_every
        period = float(every.steps) if every.steps is not None else (every.epochs or 1.0) * self.steps_per_epoch
        return done == self.total_steps or (done > 0 and int(done / period) > int((done - 1) / period))

    def save_due(
        self, done: int, *, seconds_since_save: float, planned: float, seconds_since_failure: float = math.inf
    ) -> bool:
        """Tell whether to begin a save after `done` steps; only rank 0's clock counts.

        seconds_since_save: since the last one began. planned: seconds between two saves where the spec says nothing.
        """
        every = self.checkpoint
        if seconds_since_failure < RETRY_SECONDS:
            return False
        if every.every_steps is not None:
            return done % every.every_steps == 0
        return seconds_since_save >= (planned if every.every_seconds is None else every.every_seconds)
