"""What the earlier stages handed over: their result files, checked against the digests of the RunConfig, and the predictions."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from pydantic import ValidationError
from safetensors import SafetensorError

from tuneloop_api.model import WireModel
from tuneloop_trainer.errors import ConfigError, NonFiniteLossError, StorageError
from tuneloop_trainer.evaluation_loop import read_predictions

if TYPE_CHECKING:
    from tuneloop_api.run_config import ResultReference
    from tuneloop_trainer.evaluation_loop import Predictions

Result = TypeVar("Result", bound=WireModel)


def read_handed_over(reference: ResultReference | None, kind: type[Result], *, field: str) -> Result:
    """Read a stage's result file, exactly as the operator was told of it.

    Raises ConfigError if the RunConfig does not name it, StorageError if it is missing, changed or no result of that kind.
    """
    if reference is None:
        raise ConfigError(f"run.json: {field}: is missing; export needs the path and SHA-256 of that file")
    try:
        data = Path(reference.path).read_bytes()
    except OSError as error:
        raise StorageError(f"{reference.path}: cannot be read: {error.strerror}") from error
    found = hashlib.sha256(data).hexdigest()
    if found != reference.sha256:
        raise StorageError(
            f"{reference.path}: was changed after its stage ended: its SHA-256 is {found}, {reference.sha256} was reported",
            hint="another job writes to the same folder, or the volume is damaged: run the job under another name",
        )
    try:
        return kind.from_wire(json.loads(data))
    except (ValueError, ValidationError) as error:
        raise StorageError(f"{reference.path}: is no {kind.__name__} of this version: {error}") from error


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
