"""What training measured: its files of predictions, checked."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from safetensors import SafetensorError

from tuneloop_trainer.errors import NonFiniteLossError, StorageError
from tuneloop_trainer.evaluation.predictions import read_predictions

if TYPE_CHECKING:
    from tuneloop_trainer.evaluation.predictions import Predictions


def read_split(predictions: dict[str, str], split: str) -> Predictions:
    """Read one file of predictions. Raises StorageError if it is missing or damaged, NonFiniteLossError if it holds NaN or infinity."""
    path = Path(predictions.get(split, f"predictions of {split} (train.json names none)"))
    try:
        found = read_predictions(path)
    except (OSError, SafetensorError, KeyError) as error:
        raise StorageError(f"{path}: cannot be read: {error}") from error
    if len(found.labels) == 0 or not _fit_together(found):
        shapes = f"{len(found.values)} logits, {len(found.labels)} labels, {len(found.rows)} rows, {len(found.offsets)} offsets"
        raise StorageError(
            f"{path}: is damaged: it holds {shapes}; as many logits as labels are needed, at least one, and one more offset than rows"
        )
    bad = ~np.isfinite(found.values).all(axis=1)
    if bad.any():
        rows = len(np.unique(found.row_of_target[bad]))
        raise NonFiniteLossError(
            f"{path}: {rows} rows have logits that are not finite",
            hint="the trained weights hold NaN or infinity: lower training.learningRate, or use precision fp32",
        )
    return found


def _fit_together(found: Predictions) -> bool:
    offsets = found.offsets
    in_order = offsets[0] == 0 and offsets[-1] == len(found.labels) and bool((np.diff(offsets) >= 0).all())
    return len(found.values) == len(found.labels) and len(offsets) == len(found.rows) + 1 and in_order
