"""What a model says about each row of a split: a line for each target, or one for the row (`tasks/task.py`).

Shapes: N = rows of the split, M = lines, C = classes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

BEFORE_TEST = "before-test"
"""Name of the predictions of the untrained model for the test split, in `TrainResult.predictions` and as a file."""
_DATASET = "dataset"
"""Key of the file's metadata."""


@dataclass(frozen=True, kw_only=True)
class Predictions:
    """What the model says about the rows of a split, row after row, in the split's own order."""

    values: NDArray[np.float32]
    """[M, C] logits; predicted numbers in the user's unit, [M, 1]; or sums over each row's targets, [N, 2] (`language_model`)."""
    labels: NDArray[Any]
    """[M] class ids, or 0 and 1 for each label, [M, C], int64; or numbers, float64 [M]; or what the sums are of, int64 [N, 2]."""
    rows: NDArray[np.int64]
    """[N] row ids."""
    offsets: NDArray[np.int64]
    """[N + 1] where each row's lines begin; the last is M."""

    @property
    def predicted(self) -> NDArray[np.int64]:
        """Class id with the highest logit, [M]."""
        return likeliest_class(self.values)

    @property
    def row_of_target(self) -> NDArray[np.int64]:
        """Index of the row of each line, [M]."""
        return np.repeat(np.arange(len(self.rows)), np.diff(self.offsets))

    def write(self, path: Path, *, dataset: str) -> None:
        """Write a safetensors file that is whole or absent. dataset: digest of the prepared data that the rows are of."""
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_suffix(".tmp")
        tensors = {"logits": self.values, "labels": self.labels, "rows": self.rows, "offsets": self.offsets}
        save_file(tensors, draft, metadata={_DATASET: dataset})
        draft.replace(path)


def likeliest_class(logits: NDArray[np.float32]) -> NDArray[np.int64]:
    """Return the class id with the highest logit, [M], of logits [M, C]."""
    return logits.argmax(axis=1)


def are_written(path: Path, *, dataset: str) -> bool:
    """Whether a file holds predictions for this data set. Files of release 0.1.0 name none, and count as predictions for any."""
    if not path.exists():
        return False
    with safe_open(path, framework="np") as file:
        return (file.metadata() or {}).get(_DATASET, dataset) == dataset


def read_predictions(path: Path) -> Predictions:
    """Read what `Predictions.write` wrote. Files of release 0.1.0 have no offsets: each row was one target. Raises KeyError if a tensor is missing."""
    found = load_file(path)
    rows = found["rows"]
    offsets = found.get("offsets", np.arange(len(rows) + 1))
    return Predictions(values=found["logits"], labels=found["labels"], rows=rows, offsets=offsets)
