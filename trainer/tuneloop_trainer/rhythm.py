"""When something is due during training: pure functions of the step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tuneloop_api.run_config import CheckpointSettings
    from tuneloop_api.v1alpha1.fine_tune_job_training import EvaluateEvery


@dataclass(frozen=True, kw_only=True)
class Rhythm:
    """How often the validation split is measured and progress is saved."""

    evaluate_every: EvaluateEvery
    checkpoint: CheckpointSettings
    steps_per_epoch: int
    total_steps: int

    def evaluation_due(self, done: int) -> bool:
        """Tell whether to measure after `done` steps: each time another period is full, and at the end."""
        every = self.evaluate_every
        period = float(every.steps) if every.steps is not None else (every.epochs or 1.0) * self.steps_per_epoch
        return done == self.total_steps or (done > 0 and int(done / period) > int((done - 1) / period))

    def save_due(self, done: int, *, seconds_since_save: float) -> bool:
        """Tell whether to save after `done` steps; only rank 0's clock counts."""
        every = self.checkpoint
        if every.every_steps is not None:
            return done % every.every_steps == 0
        return every.every_seconds is not None and seconds_since_save >= every.every_seconds
