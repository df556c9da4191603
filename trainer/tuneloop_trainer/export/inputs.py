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
    except (OSError, SafetensorError, TypeError) as error:
        raise StorageError(f"{path}: cannot be read: {error}") from error
    if len(found.labels) == 0 or not len(found.logits) == len(found.labels) == len(found.rows):
        shapes = f"{len(found.logits)} logits, {len(found.labels)} labels, {len(found.rows)} rows"
        raise StorageError(f"{path}: is damaged: it holds {shapes}; as many of each are needed, at least one")
    if not np.isfinite(found.logits).all():
        raise NonFiniteLossError(
            f"{path}: {int((~np.isfinite(found.logits)).any(axis=1).sum())} rows have logits that are not finite",
            hint="the trained weights hold NaN or infinity: lower training.learningRate, or use precision fp32",
        )
    return found
