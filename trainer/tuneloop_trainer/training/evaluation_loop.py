"""Runs a split through the model on all ranks, and gathers every prediction.

Shapes: N = rows of the split, C = classes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from tuneloop_trainer.evaluation.predictions import Predictions
from tuneloop_trainer.training.batch_schedule import pad, shares

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from tuneloop_trainer.dataset.shards import TokenizedSplit
    from tuneloop_trainer.engine.engine import Engine

_GATHER = 1 << 20
"""Numbers that are summed over the ranks at a time."""


def predict(
    engine: Engine, split: TokenizedSplit, *, classes: int, batch_size: int, pad_id: int, beat: Callable[[], None]
) -> Predictions:
    """Return the predictions for every row of a split; collective.

    Every rank makes the same number of forward calls on batches of rows of like length, and gets all predictions.
    """
    order = np.argsort(-split.lengths, kind="stable")
    batches = [order[start : start + batch_size] for start in range(0, len(order), batch_size)]
    logits = np.zeros((len(order), classes), dtype=np.float32)
    engine.model.eval()
    with torch.no_grad():
        for share in shares(batches, rank=engine.rank, world_size=engine.world_size):
            batch = pad(split, share.rows, pad_id=pad_id)
            output = engine.forward(
                input_ids=torch.from_numpy(batch.input_ids).to(engine.device),
                attention_mask=torch.from_numpy(batch.attention_mask).to(engine.device),
            )
            if share.live:
                logits[share.rows] = output.logits.float().cpu().numpy()
            beat()
    engine.model.train()
    return Predictions(logits=_summed(engine, logits), labels=split.labels, rows=split.rows)


def _summed(engine: Engine, mine: NDArray[np.float32]) -> NDArray[np.float32]:
    """Put the rows of all ranks together: each row is zero on all ranks but one, so that the sum is exact."""
    flat = torch.from_numpy(mine.reshape(-1))
    parts = [engine.all_reduce_sum(part.double()).float() for part in flat.split(_GATHER)]
    return torch.cat(parts).cpu().numpy().reshape(mine.shape)
