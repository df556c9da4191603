"""One optimizer step: forward and backward of every micro-batch, one small all-reduce, one update.

With W ranks and N targets in the global batch the loss of a micro-batch is its SUM × W / N: the engine averages gradients over ranks, so that
the update is that of the mean over the whole global batch, however it is shared out.
"""

from __future__ import annotations

import time
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from tuneloop_trainer.tasks.packing import pack
from tuneloop_trainer.training.batch_schedule import random_seed, shares
from tuneloop_trainer.training.loss_spikes import check_finite
from tuneloop_trainer.training.lr_schedule import learning_rate
from tuneloop_trainer.training.stopwatch import Stopwatch

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from tuneloop_trainer.tasks.task import Batch
    from tuneloop_trainer.training.training_run import TrainingRun


@dataclass(frozen=True, kw_only=True)
class StepReport:
    """What each rank knows after a step. All fields but the times of this rank are equal on all ranks."""

    loss: float
    """Mean over the targets of the global batch."""
    grad_norm: float
    """Before clipping."""
    learning_rate: float
    stop: bool
    """Some rank was asked to stop."""
    save: bool
    """Rank 0's clock says that it is time to save."""
    saves_ready: bool = False
    """Every rank's thread is done with the save that was begun last."""
    input_seconds: float = 0.0
    """Time in which this rank read its rows and made batches of them; nothing is computed meanwhile."""
    forward_seconds: float = 0.0
    """Time of this rank's forward passes."""
    ranks_before: tuple[float, ...] = ()
    """Forward seconds of all ranks in the step before, by rank."""


def make_step(
    run: TrainingRun,
    step: int,
    *,
    stop: bool,
    save: bool,
    save_ready: bool,
    beat: Callable[[], None],
    before: StepReport | None = None,
) -> StepReport:
    """Make optimizer step `step`, counted from 0; collective.

    `stop`, `save` and `save_ready` are this rank's flags. They ride on the all-reduce of the losses, which has one slot for each micro-batch so that the
    sum does not depend on the number of ranks. Raises NonFiniteLossError on all ranks alike.
    `beat` is called after each micro-batch. `before`: what this returned for the step before, in this attempt.
    """
    engine, split = run.engine, run.splits["train"]
    micro_batches = run.batch_schedule.micro_batches(step)
    targets = sum(int(split.targets[rows].sum()) for rows in micro_batches)
    input_seconds = 0.0
    stopwatch = Stopwatch(engine.device)
    report = torch.zeros(len(micro_batches) + 3 + engine.world_size, dtype=torch.float64, device=engine.device)
    losses, flags, times = report.split([len(micro_batches), 3, engine.world_size])
    for share in shares(micro_batches, rank=engine.rank, world_size=engine.world_size):
        began = time.perf_counter()
        batch = _batch(run, share.rows, step=step)
        input_seconds += time.perf_counter() - began
        seed = random_seed(run.training.seed, step=step, micro_batch=share.micro_batch)
        with stopwatch.running() if share.live else nullcontext():
            loss = _forward(run, batch, seed=seed)
        engine.backward(loss * (engine.world_size / targets if share.live else 0.0))
        if share.live:
            losses[share.micro_batch] = loss.detach()
        beat()
    flags.copy_(torch.tensor([stop, save, save_ready]))
    times[engine.rank] = before.forward_seconds if before else 0.0
    engine.all_reduce_sum(report)
    mean = sum(losses.tolist()) / targets
    stops, saves, ready = flags.tolist()
    check_finite("loss", mean, step + 1)
    rate = learning_rate(run.schedule, step)
    grad_norm = engine.step(learning_rate=rate)
    check_finite("gradient norm", grad_norm, step + 1)
    return StepReport(
        loss=mean,
        grad_norm=grad_norm,
        learning_rate=rate,
        stop=stops > 0,
        save=saves > 0,
        saves_ready=ready == engine.world_size,
        input_seconds=input_seconds,
        forward_seconds=stopwatch.seconds(),
        ranks_before=tuple(times.tolist()),
    )


def _batch(run: TrainingRun, rows: NDArray[np.int64], *, step: int) -> Batch:
    split, collate = run.splits["train"], run.task.collate_for_training
    if collate is None:
        batch = run.task.collate(split, rows, run.pad_id)
    else:
        batch = collate(split, rows, run.pad_id, seed=run.training.seed, epoch=run.batch_schedule.epoch(step))
    return pack(batch, split.lengths[rows], pad_id=run.pad_id) if run.resolved.packed else batch


def _forward(run: TrainingRun, batch: Batch, *, seed: int) -> Tensor:
    torch.manual_seed(seed)
    output = run.engine.forward(**{name: torch.from_numpy(array) for name, array in batch.inputs.items()})
    labels = torch.from_numpy(batch.labels).to(run.engine.device)
    return run.task.loss_sum(output, labels, run.training.label_smoothing)
