"""Runs a split through the model on all ranks, and gathers every prediction.

Shapes: N = rows of the split, C = classes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from safetensors.numpy import load_file, save_file

from tuneloop_trainer.evaluation.metrics import accuracy, confusion_matrix, log_losses, macro_f1, matthews
from tuneloop_trainer.training.batch_schedule import pad, shares

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from tuneloop_trainer.data.dataset.shards import TokenizedSplit
    from tuneloop_trainer.engine.engine import Engine

_GATHER = 1 << 20
"""Numbers that are summed over the ranks at a time."""


@dataclass(frozen=True)
class Predictions:
    """What the model says about each row of a split, in the split's own order."""

    logits: NDArray[np.float32]
    """[N, C]"""
    labels: NDArray[np.int64]
    """[N]"""
    rows: NDArray[np.int64]
    """[N] row ids."""

    def metrics(self) -> dict[str, float]:
        """Return loss (mean cross-entropy, without label smoothing), accuracy, macro_f1 and mcc."""
        predicted = self.logits.argmax(axis=1)
        confusion = confusion_matrix(self.labels, predicted, classes=self.logits.shape[1])
        return {
            "loss": float(log_losses(self.logits, self.labels).mean()),
            "accuracy": float(accuracy(confusion)),
            "macro_f1": float(macro_f1(confusion)),
            "mcc": float(matthews(confusion)),
        }

    def write(self, path: Path) -> None:
        """Write a safetensors file that is whole or absent."""
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_suffix(".tmp")
        save_file({"logits": self.logits, "labels": self.labels, "rows": self.rows}, unfinished)
        unfinished.replace(path)


def read_predictions(path: Path) -> Predictions:
    """Read what `Predictions.write` wrote."""
    return Predictions(**load_file(path))


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
