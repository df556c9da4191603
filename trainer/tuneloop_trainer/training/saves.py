"""The saves of one attempt: begun at a step, written and committed beside the next ones. A failed one ends nothing."""

from __future__ import annotations

import logging
import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tuneloop_trainer.errors import SaveFailedError, StorageError
from tuneloop_trainer.training.intervals import SaveTimes
from tuneloop_trainer.training.resume import state_of, with_value

if TYPE_CHECKING:
    from tuneloop_api.contract.results import SavedStep
    from tuneloop_trainer.supervisor.heartbeat import Heartbeat
    from tuneloop_trainer.training.progress import ProgressPosts
    from tuneloop_trainer.training.resume import Position
    from tuneloop_trainer.training.selection import Best
    from tuneloop_trainer.training.setup import TrainingRun

LOG = logging.getLogger(__name__)


@dataclass
class Save:
    """A copy of the state at one step, on its way to be a checkpoint."""

    step: int
    best: Best | None
    """The result of this step, if it is the best so far."""
    began: float = 0.0
    """When its writing began; `time.monotonic`."""
    blocking: float = 0.0
    """Seconds that training has waited for it."""


class CheckpointSaver:
    """Collective, all of it but `due` and `ready`; `due` counts on rank 0 alone."""

    def __init__(self, run: TrainingRun, position: Position, *, posts: ProgressPosts, heartbeat: Heartbeat) -> None:
        self._run, self._at, self._posts, self._heartbeat = run, position, posts, heartbeat
        self.times = SaveTimes()
        self._writing: Save | None = None
        self._unsaved_best: Save | None = None
        """Failed, and its copy is still there: it holds the best weights so far."""
        self._began, self._failed = time.monotonic(), -math.inf

    def due(self, step: int) -> bool:
        """Tell whether this rank's clock asks for a save after a step."""
        now = time.monotonic()
        return self._run.rhythm.save_due(
            step,
            seconds_since_save=now - self._began,
            planned=self.times.planned_seconds(),
            seconds_since_failure=now - self._failed,
        )

    @property
    def ready(self) -> bool:
        """Whether there is something to `commit`, and this rank would not have to be waited for."""
        return self._run.checkpoints.ready

    def begin(self) -> None:
        """Save this position: only the copy is waited for, and what is still being written of the save before."""
        self.commit()
        best = self._at.selection.best
        if best is not None and best.step == self._at.step:
            self._unsaved_best = None
        if self._unsaved_best is None:
            self._begin_here()
        else:  # the copy that would be overwritten has the best weights, and no checkpoint may name a best one that is not there
            self._begin_again(self._unsaved_best)
        if not self._run.config.settings.checkpoint.asynchronous:
            self.commit()

    def commit(self) -> None:
        """Wait for the checkpoint that was begun, if any was. If that fails training goes on, and the next save may succeed."""
        try:
            self._finish()
        except SaveFailedError as error:
            LOG.warning("%s; training goes on, and it is tried again", error.message)
            self._failed = time.monotonic()
            self._posts.unsaved(error.message)

    def save_now(self) -> None:
        """Save this position before the run leaves. Raises StorageError when that fails."""
        self.commit()
        if self._unsaved_best is not None and self._unsaved_best.step != self._at.step:
            self._begin_again(self._unsaved_best)
            self._finish()
        self._begin_here()
        self._finish()
        self._run.checkpoints.close()

    def _begin_here(self) -> None:
        at, best = self._at, self._at.selection.best
        is_best = best is not None and best.step == at.step
        if at.last is not None and at.last.step == at.step:
            at.best = with_value(at.last, best) if best is not None and is_best else at.best
            return
        save = Save(at.step, best if is_best else None, began=time.monotonic())
        with self._heartbeat.through_pause():
            self._run.checkpoints.begin(state_of(at, steps_per_epoch=self._run.resolved.steps_per_epoch))
        self._started(save)

    def _begin_again(self, save: Save) -> None:
        save.began, save.blocking = time.monotonic(), 0.0
        self._run.checkpoints.begin_again()
        self._started(save)

    def _started(self, save: Save) -> None:
        self._writing, self._unsaved_best = save, None
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
                self._writing, self._unsaved_best = None, save if save.best is not None else None
                raise
            self._saved(saved, save)
        now = time.monotonic()
        save.blocking += now - began
        self.times.add(blocking=save.blocking, saving=now - save.began)
        self._posts.saved(saved, self._at.best, save_seconds_p95=self.times.p95())

    def _saved(self, saved: SavedStep, save: Save) -> None:
        self._writing, self._at.last = None, saved
        self._at.best = with_value(saved, save.best) if save.best is not None else self._at.best
        self._remove_old()

    def _remove_old(self) -> None:
        settings = self._run.config.settings
        needed = 1 if settings.output.checkpoint == "best" else 0
        best = max(settings.checkpoint.keep_best, needed)
        self._run.checkpoints.keep(
            last=settings.checkpoint.keep_last, best=best, best_steps=self._at.selection.best_steps
        )
