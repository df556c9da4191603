"""Calls the listeners of a run: in a fixed order, and at the end in the reverse order, as resources are closed."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tuneloop_trainer.training.listeners.diagnosis import Diagnosis
from tuneloop_trainer.training.listeners.progress import ProgressPosts
from tuneloop_trainer.training.listeners.train_log import TrainLog, log_listener

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tuneloop_trainer.report import Posts
    from tuneloop_trainer.training.listeners.listener import (
        EndEvent,
        EvaluationEvent,
        Listener,
        SavedEvent,
        StartEvent,
        StepEvent,
    )
    from tuneloop_trainer.training.resume import TrainProgress
    from tuneloop_trainer.training.training_run import TrainingRun

LOG = logging.getLogger(__name__)

TRACKERS: dict[str, Callable[[TrainingRun], Listener | None]] = {}
"""Makes the listener of each tracker, by name; None where the run does not ask for this tracker. Called on rank 0 alone."""


class Listeners:
    """Calls every listener.

    An error of an essential listener ends training. Any other listener that raises is logged, and is not called any more in this attempt: a
    tracker whose server is down must not end a training.
    """

    def __init__(self, listeners: Iterable[Listener]) -> None:
        self._listeners = list(listeners)

    def on_start(self, event: StartEvent) -> None:
        """Tell that this attempt begins."""
        self._call(self._listeners, "on_start", event)

    def on_step(self, event: StepEvent) -> None:
        """Tell that an optimizer step was made."""
        self._call(self._listeners, "on_step", event)

    def on_evaluation(self, event: EvaluationEvent) -> None:
        """Tell that the validation split was evaluated."""
        self._call(self._listeners, "on_evaluation", event)

    def on_saved(self, event: SavedEvent) -> None:
        """Tell that a checkpoint was committed."""
        self._call(self._listeners, "on_saved", event)

    def on_save_failed(self, reason: str) -> None:
        """Tell that a checkpoint was not saved, and that training goes on."""
        self._call(self._listeners, "on_save_failed", reason)

    def on_last_step(self, step: int) -> None:
        """Tell that no step will follow, in reverse order: the post of progress then has the last findings of the diagnosis."""
        self._call(self._listeners[::-1], "on_last_step", step)

    def on_end(self, event: EndEvent) -> None:
        """Tell that this attempt is over, in reverse order."""
        self._call(self._listeners[::-1], "on_end", event)

    def _call(self, listeners: list[Listener], function: str, event: Any) -> None:
        for listener in list(listeners):
            try:
                getattr(listener, function)(event)
            except Exception:
                if listener.essential:
                    raise
                LOG.exception("%s: it failed and is not used any more; training goes on", listener.name)
                self._listeners.remove(listener)


@dataclass(frozen=True, kw_only=True)
class RunListeners:
    """The listeners of one attempt at a run."""

    diagnosis: Diagnosis
    """By name too: its curves rebuild the spike detector, and the result of the run lists its findings."""
    listeners: Listeners


def listeners_of(run: TrainingRun, progress: TrainProgress, *, reporter: Posts) -> RunListeners:
    """Return the listeners of a run: progress posts, train log, diagnosis, trackers, called in this order."""
    evaluated = progress.selection.evaluated_step
    log = (
        TrainLog(run.job / "logs" / "train.jsonl", step=progress.step, evaluated_step=evaluated)
        if run.is_main_rank
        else None
    )
    posts = ProgressPosts(
        reporter=reporter,
        is_main_rank=run.is_main_rank,
        total_steps=run.resolved.total_steps,
        best_metric=run.training.best_metric,
    )
    diagnosis = Diagnosis(run, log, report=posts.findings)
    own = [
        posts.listener(),
        *([log_listener(log, primary_metric=run.task.primary_metric)] if log else []),
        diagnosis.listener(),
    ]
    trackers = [make(run) for make in TRACKERS.values()] if run.is_main_rank else []
    return RunListeners(
        diagnosis=diagnosis, listeners=Listeners([*own, *(tracker for tracker in trackers if tracker is not None)])
    )
