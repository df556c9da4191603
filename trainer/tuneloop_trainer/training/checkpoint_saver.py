"""Saves checkpoints during one attempt: begins a save at a step, and commits it beside later steps. A failed save does not end training."""

from __future__ import annotations

import logging
import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tuneloop_trainer.errors import SaveFailedError, StorageError
from tuneloop_trainer.training.intervals import SaveTimes
from tuneloop_trainer.training.listeners.listener import SavedEvent
from tuneloop_trainer.training.resume import state_of, with_value

if TYPE_CHECKING:
    from tuneloop_api.contract.results import SavedStep
    from tuneloop_api.contract.settings import Settings
    from tuneloop_trainer.supervisor.heartbeat import Heartbeat
    from tuneloop_trainer.training.listeners.listeners import Listeners
    from tuneloop_trainer.training.resume import TrainProgress
    from tuneloop_trainer.training.selection import Best
    from tuneloop_trainer.training.training_run import TrainingRun

LOG = logging.getLogger(__name__)


@dataclass
class Save:
    """The save of one step: its copy of the state is being written, or its write has failed."""

    step: int
    best: Best | None
    """The evaluation of this step, if it is the best so far."""
    began: float = 0.0
    """When the write began; `time.monotonic`."""
    blocking: float = 0.0
    """Seconds that training has waited for this save."""


class CheckpointSaver:
    """Saves the progress of a run. All methods are collective but `due` and `ready`; `due` counts on rank 0 alone."""

    def __init__(
        self, run: TrainingRun, progress: TrainProgress, *, listeners: Listeners, heartbeat: Heartbeat
    ) -> None:
        self._run, self._progress, self._listeners, self._heartbeat = run, progress, listeners, heartbeat
        self.times = SaveTimes()
        self._writing: Save | None = None
        self._failed_best: Save | None = None
        """A failed save whose copy is still there, and holds the best weights so far."""
        self._began, self._failed = time.monotonic(), -math.inf

    def due(self, step: int) -> bool:
        """Tell whether this rank's clock asks for a save after a step."""
        now = time.monotonic()
        return self._run.intervals.save_due(
            step,
            seconds_since_save=now - self._began,
            planned=self.times.planned_seconds(),
            seconds_since_failure=now - self._failed,
        )

    @property
    def ready(self) -> bool:
        """Whether a save was begun, and `commit` returns at once on this rank."""
        return self._run.checkpoints.ready

    def begin(self) -> None:
        """Begin the save of this step. It waits for the copy, and for the save before if that is still being written."""
        self.commit()
        best = self._progress.selection.best
        if best is not None and best.step == self._progress.step:
            self._failed_best = None
        if self._failed_best is None:
            self._begin_here()
        else:  # a new copy would overwrite the best weights, and a checkpoint must not name a best step that was never saved
            self._begin_again(self._failed_best)
        if not self._run.config.settings.checkpoint.asynchronous:
            self.commit()

    def commit(self) -> None:
        """Wait until the save that was begun is committed, if any was. If the save fails, training goes on, and the next save may succeed."""
        try:
            self._finish()
        except SaveFailedError as error:
            LOG.warning("%s; training goes on, and it is tried again", error.message)
            self._failed = time.monotonic()
            self._listeners.on_save_failed(error.message)

    def save_now(self) -> None:
        """Save this step, and wait until it is committed, before the run leaves. Raises StorageError when that fails."""
        self.commit()
        if self._failed_best is not None and self._failed_best.step != self._progress.step:
            self._begin_again(self._failed_best)
            self._finish()
        self._begin_here()
        self._finish()
        self._run.checkpoints.close()

    def end(self) -> None:
        """Commit the save that was begun, if any was, and save nothing more."""
        self.commit()
        self._run.checkpoints.close()

    def _begin_here(self) -> None:
        progress, best = self._progress, self._progress.selection.best
        is_best = best is not None and best.step == progress.step
        if progress.last is not None and progress.last.step == progress.step:
            progress.best = with_value(progress.last, best) if best is not None and is_best else progress.best
            return
        save = Save(progress.step, best if is_best else None, began=time.monotonic())
        with self._heartbeat.through_pause():
            state = state_of(progress, steps_per_epoch=self._run.resolved.steps_per_epoch)
            self._run.checkpoints.begin(state, step=progress.step)
        self._started(save)

    def _begin_again(self, save: Save) -> None:
        save.began, save.blocking = time.monotonic(), 0.0
        self._run.checkpoints.begin_again()
        self._started(save)

    def _started(self, save: Save) -> None:
        self._writing, self._failed_best = save, None
        self._began = save.began
        save.blocking = time.monotonic() - save.began

    def _finish(self) -> None:
        save = self._writing
        if save is None:
            return
        began = time.monotonic()
        with self._heartbeat.through_pause():
            try:
                saved = self._run.checkpoints.finish()
            except StorageError:
                self._writing, self._failed_best = None, save if save.best is not None else None
                raise
            self._saved(saved, save)
        now = time.monotonic()
        save.blocking += now - began
        self.times.add(blocking=save.blocking, saving=now - save.began)
        event = SavedEvent(saved=saved, best=self._progress.best, save_seconds_p95=self.times.p95())
        self._listeners.on_saved(event)

    def _saved(self, saved: SavedStep, save: Save) -> None:
        self._writing, self._progress.last = None, saved
        self._progress.best = with_value(saved, save.best) if save.best is not None else self._progress.best
        self._remove_old()

    def _remove_old(self) -> None:
        settings, best_steps = self._run.config.settings, self._progress.selection.best_steps
        self._run.checkpoints.keep(
            last=settings.checkpoint.keep_last, best=best_to_keep(settings), best_steps=best_steps
        )


def best_to_keep(settings: Settings) -> int:
    """Return how many of the best checkpoints are kept: at least one if the best weights are to be published."""
    needed = 1 if settings.output.checkpoint == "best" else 0
    return max(settings.checkpoint.keep_best, needed)
