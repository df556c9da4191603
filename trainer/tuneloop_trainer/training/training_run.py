"""The parts of an attempt: `set_up` builds them, the loop and its helpers read them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tuneloop_api.contract.results import PrepareResult, Resolved
    from tuneloop_api.contract.run_config import RunConfig
    from tuneloop_api.contract.settings import TrainingSettings
    from tuneloop_trainer.checkpoint import Checkpoints
    from tuneloop_trainer.dataset.shards import TokenizedSplit
    from tuneloop_trainer.engine.engine import Engine
    from tuneloop_trainer.methods.method import Method
    from tuneloop_trainer.tasks.task import Task
    from tuneloop_trainer.training.batch_schedule import BatchSchedule
    from tuneloop_trainer.training.intervals import SaveAndEvalIntervals
    from tuneloop_trainer.training.lr_schedule import Schedule


@dataclass(frozen=True, kw_only=True)
class TrainingRun:
    """The parts of an attempt that stay the same from its first step to its last."""

    config: RunConfig
    prepared: PrepareResult
    task: Task
    method: Method
    splits: dict[str, TokenizedSplit]
    """By name: train, validation, test."""
    pad_id: int
    """Token id of padding."""
    batch_schedule: BatchSchedule
    schedule: Schedule
    intervals: SaveAndEvalIntervals
    engine: Engine
    checkpoints: Checkpoints

    @property
    def training(self) -> TrainingSettings:
        """`spec.training` with its defaults."""
        return self.config.settings.training

    @property
    def resolved(self) -> Resolved:
        """The plan of `prepare`, with the precision that this gang's devices have and this attempt's micro-batch."""
        return self.prepared.resolved

    @cached_property
    def prior_loss(self) -> float:
        """Mean loss of a target, in nats, for a model that knows how often each class occurs in training and nothing else."""
        return self.task.prior_loss(self.splits["train"])

    @property
    def job(self) -> Path:
        """The job's own folder."""
        return Path(self.config.paths.job_dir)

    @property
    def is_main_rank(self) -> bool:
        """Whether this rank writes the files of the gang: rank 0 does."""
        return self.engine.rank == 0
