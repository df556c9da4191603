"""The learning rate as a pure function of the step: warm-up, then one of four schedules."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

DECAY_FRACTION = 0.2
"""Part of all steps in which `wsd` (warm-up, stable, decay) decays to zero."""


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """The schedule of the learning rate over a run."""

    scheduler: Literal["linear", "cosine", "constant", "wsd"]
    peak: float
    """Learning rate at the end of the warm-up."""
    warmup_steps: int
    total_steps: int


def learning_rate(schedule: Schedule, step: int) -> float:
    """Return the learning rate of a step, counted from 0.

    The warm-up rises in `warmup_steps` equal parts. Its first part is above zero, so that no step is wasted. `linear`, `cosine` and `wsd`
    would reach zero at `total_steps`, one step after the last.
    """
    if step < schedule.warmup_steps:
        return schedule.peak * ((step + 1) / schedule.warmup_steps)
    return schedule.peak * _after_warmup(schedule, step)


def _after_warmup(schedule: Schedule, step: int) -> float:
    left = schedule.total_steps - step
    span = max(1, schedule.total_steps - schedule.warmup_steps)
    match schedule.scheduler:
        case "constant":
            return 1.0
        case "linear":
            return max(0.0, left / span)
        case "cosine":
            return 0.5 * (1 + math.cos(math.pi * min(1.0, 1 - left / span)))
        case "wsd":
            decay = min(max(1, math.ceil(DECAY_FRACTION * schedule.total_steps)), span)
            return min(1.0, max(0.0, left / decay))
