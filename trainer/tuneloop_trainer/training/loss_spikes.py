"""Keeps a state of the model that went bad from being saved: watches the loss of every step for a sudden rise. Pure.

A flipped bit of a weight, or a step far too large, does not always make the loss NaN: often it only makes it large. Training is
deterministic, so that a replay of the same steps mends a flipped bit and repeats a real divergence. All ranks see the same losses and
come to the same answer at the same step.

The loss is in a rise while it lies above

    median + max(20 x MAD, 3 x median), and above half of what guessing costs

where the median and the MAD (median absolute deviation) are of the last 50 losses that were in no rise. No single bad loss moves either.
20 MAD are 13 standard deviations of a normal distribution. Losses of batches are not normal: a model that has learned its data has a
median near zero, and one wrong label makes a batch's loss a thousand times as large. Half of what guessing costs stands for that: below
it a model is still good, whatever came before. Rows are shuffled over the whole epoch, so that such batches come singly, and a rise
counts as lasting only after 50 steps without one loss below the limit. If a third of all batches were that odd, 50 in a row would come
once in 10^23 steps, and 10 in a row, which is asked at the end of a run, once in 10^5.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, replace
from statistics import median
from typing import TYPE_CHECKING

from tuneloop_trainer.errors import NonFiniteLossError

if TYPE_CHECKING:
    from collections.abc import Iterable

WINDOW_STEPS = 50
"""Losses that tell what is usual; before so many nothing counts as a rise."""
PATIENCE_STEPS = 50
"""Steps after which a rise is there to stay: as many as it took to know what is usual."""
PATIENCE_AT_END_STEPS = 10
"""The same for the last steps of a run, where no more can be waited for."""
HISTORY_STEPS = 4 * WINDOW_STEPS
"""Losses of earlier attempts that the guard is rebuilt from."""
_MADS, _MEDIANS, _PART_OF_GUESSING = 20.0, 3.0, 0.5
_HINT = (
    "Lower training.learningRate or training.maxGradNorm, or train in fp32; also look for odd rows in the data report."
)


@dataclass(frozen=True)
class Rise:
    """A rise of the loss that is not over."""

    first_step: int
    """Counted from 1."""
    usual: float
    """Median before it."""
    limit: float
    """Above this a loss belongs to the rise."""
    steps: int = 0
    """How long it has lasted."""
    loss: float = math.nan
    """The newest loss."""

    def __str__(self) -> str:
        return (
            f"the loss rose at step {self.first_step} and has stayed there for {self.steps} steps: "
            f"it was {self.usual:.4g} before and is {self.loss:.4g} now"
        )


class LossSpikeDetector:
    """Watches the losses of a run. `class_prior_entropy`: the loss of a model that only knows how often each class occurs in training."""

    def __init__(self, *, class_prior_entropy: float) -> None:
        self._floor = _PART_OF_GUESSING * class_prior_entropy
        self._usual: deque[float] = deque(maxlen=WINDOW_STEPS)
        self.rise: Rise | None = None

    @property
    def doubtful(self) -> bool:
        """Whether the model may be in a bad state, so that it must not be saved."""
        return self.rise is not None

    def see(self, step: int, loss: float) -> None:
        """Take note of the loss of a step, counted from 1. Raises NonFiniteLossError when a rise is there to stay."""
        self._note(step, loss)
        if self.rise is not None and self.rise.steps >= PATIENCE_STEPS:
            raise self._error(self.rise)

    def end(self) -> None:
        """Look back from the last step. Raises NonFiniteLossError if the run ends in a rise that is no single odd batch."""
        if self.rise is not None and self.rise.steps >= PATIENCE_AT_END_STEPS:
            raise self._error(self.rise)

    def remember(self, losses: Iterable[float]) -> None:
        """Take in the losses of the steps before this attempt, oldest first; they led to a state that was saved."""
        for loss in losses:
            self._note(0, loss)
        self.rise = None

    def _note(self, step: int, loss: float) -> None:
        limit = self.rise.limit if self.rise else self._limit()
        if loss <= limit:
            self.rise = None
            self._usual.append(loss)
            return
        so_far = self.rise or Rise(first_step=step, usual=median(self._usual), limit=limit)
        self.rise = replace(so_far, steps=so_far.steps + 1, loss=loss)

    def _limit(self) -> float:
        if len(self._usual) < WINDOW_STEPS:
            return math.inf
        usual = median(self._usual)
        spread = median(abs(loss - usual) for loss in self._usual)
        return max(usual + max(_MADS * spread, _MEDIANS * usual), self._floor)

    @staticmethod
    def _error(rise: Rise) -> NonFiniteLossError:
        return NonFiniteLossError(str(rise), hint=_HINT, step=rise.first_step)


def check_finite(what: str, value: float, step: int) -> None:
    """Raise NonFiniteLossError, naming the step (counted from 1), if a value of it is NaN or infinite."""
    if not math.isfinite(value):
        raise NonFiniteLossError(f"the {what} of step {step} is {value}", hint=_HINT, step=step)
