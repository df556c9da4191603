"""What an evaluation of the finished model holds, whatever the task."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tuneloop_api.contract.results import Measured

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tuneloop_api.contract.artifact import AnswerSpans
    from tuneloop_trainer.evaluation.intervals import Interval
    from tuneloop_trainer.evaluation.metrics import ClassScore, Integers


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """What the model achieved. Each probability-based metric stands twice: as it is, and `_calibrated` by the temperature."""

    metrics: list[Measured]
    confusion: Integers | None
    """int64 [C, C]: test targets by true and predicted class; None: a target may have several classes."""
    classes: Mapping[str, ClassScore]
    """By name: classes of rows, or types of spans."""
    temperature: float
    """Fitted on the validation split, like nothing else; 1 where a fitted one is not shown to help."""
    calibration: str = "No temperature is fitted for this task."
    """Why the temperature is what it is, in a sentence."""
    answer_spans: AnswerSpans | None = None
    """How answers are chosen, with the threshold of the validation split; None: the task has no answers in contexts."""


def measured(name: str, interval: Interval) -> Measured:
    """Return a metric as results hold it."""
    return Measured(name=name, value=interval.value, low=interval.low, high=interval.high)
