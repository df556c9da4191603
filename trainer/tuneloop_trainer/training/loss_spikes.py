"""Detects spikes of the training loss, so that no bad state of the model is saved. Pure.

A flipped bit of a weight, or a step far too large, does not always make the loss NaN: often the loss only becomes large. Training is
deterministic, so that a replay of the same steps corrects a flipped bit and repeats a real divergence. All ranks get the same losses and
decide the same at the same step.

A loss is in a spike when it is above both

    median + max(20 x MAD, 3 x median)    and    half of the class prior entropy

where the median and the MAD (median absolute deviation) are those of the last 50 losses outside of spikes. No single bad loss moves them.
20 MAD are 13 standard deviations of a normal distribution. Losses of batches are not normal: a model that has learned its data has a
median near zero, and one wrong label makes the loss of a batch a thousand times as large. Hence the second limit: a model whose loss is
below half of the class prior entropy is still good, whatever its loss was before. Rows are shuffled over the whole epoch, so that batches
with wrong labels come singly, and a spike is permanent only after 50 steps without one loss below the limit. If a third of all batches
were that odd, 50 in a row would come once in 10^23 steps; 10 in a row, the limit at the end of a run, would come once in 10^5 steps.
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
"""Losses that the median is taken of; before so many losses nothing is a spike."""
PATIENCE_STEPS = 50
"""Steps after which a spike is permanent: as many as the median is taken of."""
PATIENCE_AT_END_STEPS = 10
"""Steps after which a spike at the end of a run is permanent: no further steps can show that it is over."""
HISTORY_STEPS = 4 * WINDOW_STEPS
"""Losses of earlier attempts from which the detector is rebuilt."""
_MADS, _MEDIANS, _PART_OF_PRIOR_ENTROPY = 20.0, 3.0, 0.5
_HINT = (
    "Lower training.learningRate or training.maxGradNorm, or train in fp32; also look for odd rows in the data report."
)


@dataclass(frozen=True)
class LossSpike:
    """A spike of the loss that is not over."""

    first_step: int
    """First step of the spike, counted from 1."""
    median: float
    """Median of the losses before the spike."""
    limit: float
    """A loss above this limit belongs to the spike."""
    steps: int = 0
    """Steps of the spike so far."""
    loss: float = math.nan
    """The newest loss."""

    def __str__(self) -> str:
        return (
            f"the loss rose at step {self.first_step} and has stayed there for {self.steps} steps: "
            f"it was {self.median:.4g} before and is {self.loss:.4g} now"
        )


class LossSpikeDetector:
    """Takes the losses of a run, step by step. class_prior_entropy: the loss of a model that knows only how often each class occurs in training, in nats."""

    def __init__(self, *, class_prior_entropy: float) -> None:
        self._floor = _PART_OF_PRIOR_ENTROPY * class_prior_entropy
        self._usual: deque[float] = deque(maxlen=WINDOW_STEPS)
        self.spike: LossSpike | None = None

    @property
    def in_spike(self) -> bool:
        """Whether the newest loss is in a spike: the model may be in a bad state, and must not be saved."""
        return self.spike is not None

    def add(self, step: int, loss: float) -> None:
        """Add the loss of a step, counted from 1. Raises NonFiniteLossError when a spike is permanent."""
        self._add(step, loss)
        if self.spike is not None and self.spike.steps >= PATIENCE_STEPS:
            raise self._error(self.spike)

    def check_end(self) -> None:
        """Raise NonFiniteLossError if the run ends in a spike that is longer than a few odd batches."""
        if self.spike is not None and self.spike.steps >= PATIENCE_AT_END_STEPS:
            raise self._error(self.spike)

    def replay(self, losses: Iterable[float]) -> None:
        """Add the losses of the steps before this attempt, oldest first. No spike is left afterwards, since the state after them was saved."""
        for loss in losses:
            self._add(0, loss)
        self.spike = None

    def _add(self, step: int, loss: float) -> None:
        limit = self.spike.limit if self.spike else self._limit()
        if loss <= limit:
            self.spike = None
            self._usual.append(loss)
            return
        so_far = self.spike or LossSpike(first_step=step, median=median(self._usual), limit=limit)
        self.spike = replace(so_far, steps=so_far.steps + 1, loss=loss)

    def _limit(self) -> float:
        if len(self._usual) < WINDOW_STEPS:
            return math.inf
        middle = median(self._usual)
        mad = median(abs(loss - middle) for loss in self._usual)
        return max(middle + max(_MADS * mad, _MEDIANS * middle), self._floor)

    @staticmethod
    def _error(spike: LossSpike) -> NonFiniteLossError:
        return NonFiniteLossError(str(spike), hint=_HINT, step=spike.first_step)


def check_finite(what: str, value: float, step: int) -> None:
    """Raise NonFiniteLossError, naming the step (counted from 1), if a value is NaN or infinite. what: name of the value."""
    if not math.isfinite(value):
        raise NonFiniteLossError(f"the {what} of step {step} is {value}", hint=_HINT, step=step)
