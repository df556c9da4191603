"""A listener of the training loop: functions that the loop calls when something has happened. A listener decides nothing.

A tracker is one file with a function that makes its `Listener`, and one row in `TRACKERS` (`listeners/listeners.py`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tuneloop_api.contract.results import SavedStep
    from tuneloop_trainer.training.batch_schedule import Tokens
    from tuneloop_trainer.training.speed import Speed
    from tuneloop_trainer.training.step import StepReport


@dataclass(frozen=True, kw_only=True)
class StartEvent:
    """This attempt begins."""

    step: int
    """Optimizer steps that earlier attempts have made."""
    last: SavedStep | None
    """The checkpoint that training resumes from."""
    best: SavedStep | None
    """The best checkpoint so far."""


@dataclass(frozen=True, kw_only=True)
class StepEvent:
    """An optimizer step was made."""

    step: int
    """Number of the step, counted from 1."""
    epoch: float
    report: StepReport
    tokens: Tokens
    """Tokens of the step, over all ranks."""
    seconds: float
    """Time of the step."""
    speed: Speed
    """Speed of this attempt, this step included."""


@dataclass(frozen=True, kw_only=True)
class EvaluationEvent:
    """The validation split was evaluated."""

    step: int
    """Optimizer steps made before the evaluation."""
    epoch: float
    split: str
    metrics: Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class SavedEvent:
    """A checkpoint was committed."""

    saved: SavedStep
    best: SavedStep | None
    """The best checkpoint so far."""
    save_seconds_p95: float | None
    """95th percentile of the time from the begin of a save to its commit, in seconds."""


@dataclass(frozen=True, kw_only=True)
class EndEvent:
    """This attempt is over."""

    step: int
    """Step of the published weights; where training failed or was stopped, the last step that was made."""
    metrics: Mapping[str, Mapping[str, float]]
    """Metrics of the published weights, by split; empty where training failed or was stopped."""
    error: Exception | None = None
    """Why training failed or was stopped; None: it came to its end."""


def _ignore(_event: object) -> None:
    """Do nothing."""


@dataclass(frozen=True, kw_only=True)
class Listener:
    """The functions that the loop calls. An event without a function is ignored."""

    name: str
    """Name of the listener in log messages."""
    essential: bool = False
    """Whether an error of this listener ends training. A listener that makes collective calls must be essential."""
    on_start: Callable[[StartEvent], None] = _ignore
    on_step: Callable[[StepEvent], None] = _ignore
    on_evaluation: Callable[[EvaluationEvent], None] = _ignore
    on_saved: Callable[[SavedEvent], None] = _ignore
    on_save_failed: Callable[[str], None] = _ignore
    """Takes the reason; training goes on."""
    on_last_step: Callable[[int], None] = _ignore
    """Takes the number of the last step; the final evaluation comes next."""
    on_end: Callable[[EndEvent], None] = _ignore
    """Called once, also where training failed or was stopped."""
