"""Runs a split through the model on all ranks, and gathers every prediction.

Shapes: N = rows of the split, M = the lines that its task keeps of them, K = values of a line.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from tuneloop_trainer.evaluation.predictions import Predictions
from tuneloop_trainer.training.batch_schedule import shares

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from tuneloop_trainer.dataset.shards import TokenizedSplit
    from tuneloop_trainer.engine.engine import Engine
    from tuneloop_trainer.tasks.task import Task

_GATHER = 1 << 20
"""Numbers that are summed over the ranks at a time."""


def predict(
    engine: Engine,
    split: TokenizedSplit,
    *,
    task: Task,
    labels: Sequence[str],
    batch_size: int,
    pad_id: int,
    beat: Callable[[], None],
) -> Predictions:
    """Return the predictions for every row of a split; collective. labels: class names.

    Every rank makes the same number of forward calls on batches of rows of like length, and gets all predictions.
    """
    order = np.argsort(-split.lengths, kind="stable")
    batches = [order[start : start + batch_size] for start in range(0, len(order), batch_size)]
    offsets = np.cumsum([0, *task.lines_per_row(split)], dtype=np.int64)
    values = np.zeros((offsets[-1], task.values_per_line(labels)), dtype=np.float32)
    engine.model.eval()
    with torch.no_grad():
        for share in shares(batches, rank=engine.rank, world_size=engine.world_size):
            batch = task.collate(split, share.rows, pad_id)
            output = engine.forward(**{name: torch.from_numpy(array) for name, array in batch.inputs.items()})
            if share.live:
                targets = torch.from_numpy(batch.labels).to(engine.device)
                values[_lines_of(share.rows, offsets)] = task.target_values(output, targets).float().cpu().numpy()
            beat()
    engine.model.train()
    firsts = split.first_windows
    return Predictions(
        values=summed_over_ranks(engine, values),
        labels=task.target_labels(split),
        rows=split.rows[firsts],
        offsets=np.append(offsets[firsts], offsets[-1]),
    )


def _lines_of(rows: NDArray[np.int64], offsets: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the lines of some rows, row after row."""
    return np.concatenate([np.arange(offsets[row], offsets[row + 1]) for row in rows])


def summed_over_ranks(engine: Engine, mine: NDArray[np.float32]) -> NDArray[np.float32]:
    """Put the values of all ranks together: each is zero on all ranks but one, so that the sum is exact."""
    flat = torch.from_numpy(mine.reshape(-1))
    parts = [engine.all_reduce_sum(part.double()).float() for part in flat.split(_GATHER)]
    return torch.cat(parts).cpu().numpy().reshape(mine.shape)
