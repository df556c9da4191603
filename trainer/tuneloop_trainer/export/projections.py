"""Projections of test rows, and the directions that they are made with: a pass of the published model over the rows, as a server loads it.

A direction is chosen for what the answers do not show: it is an axis along which the rows' vectors differ most once the axes are taken out along which they
move with the logits. `docs/decisions/0075` has the measurements.

Shapes: n = rows, H = size of the hidden state, C = classes, k = directions.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import transformers

from tuneloop_api.features.projections import PROJECTIONS
from tuneloop_api.features.text_vectors import noting
from tuneloop_trainer.dataset.shards import open_split
from tuneloop_trainer.export.exporters.merged import MERGED
from tuneloop_trainer.export.parity import BATCH
from tuneloop_trainer.failures import first_line

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tuneloop_trainer.evaluation.predictions import Predictions
    from tuneloop_trainer.export.exporters.exporter import ExportInputs

LOG = logging.getLogger(__name__)
MOST_ROWS = 1000
"""Rows of the pass. The share of a bin of 10 % is known within 1.9 points (95 %)."""
LEAST_ROWS = 100
MOST_OPERATIONS = 10**13
"""Multiplications and additions of the pass, two to three minutes of a core: MiniLM makes 7 · 10^10 in a second. A large model reads fewer rows; one that could not read 100 has no projections."""
_MOST_LOGITS_AXES = 16
"""Axes that are taken out at most: a model of hundreds of classes moves along as many."""
_LEAST_OF_LOGITS = 1e-3
"""An axis along which vectors move so much less with the logits than along the first has nothing but noise."""
_LEAST_SPREAD = 1e-3
"""An axis along which vectors spread less than this part of their length is left out: rounding would be counted."""
_DIGITS = 4
"""Of the largest number of a direction; the others have as many decimals. So noise of a platform's arithmetic is no part of the file."""


@dataclass(frozen=True, kw_only=True)
class Projections:
    """What `monitoring.json` says of the projections of n rows."""

    directions: NDArray[np.float64]
    """[k, H]"""
    values: NDArray[np.float64]
    """[n, k]"""


def projections_of(folder: Path, inputs: ExportInputs, test: Predictions, *, split: str) -> Projections | None:
    """Run the model of the artifact in `folder` over rows of a split, spread evenly. test: what training predicted for all of its rows.

    None if no server would project with it (a task without projections, an adapter alone, a model that has no state of each token), and for a model that is too large. Never fails the
    export: the model is sound without them.
    """
    written = folder / MERGED.folder
    if not (inputs.task.features.has_projections and written.is_dir()):
        return None
    try:
        return _projections(written, inputs, test, split=split)
    except MemoryError:
        raise
    except Exception as error:
        LOG.warning("no projections: %s", first_line(error), exc_info=True)
        return None


def _projections(written: Path, inputs: ExportInputs, test: Predictions, *, split: str) -> Projections | None:
    lengths = open_split(Path(inputs.prepared.dataset_path), split).lengths
    rows = affordable_rows(lengths, parameters=parameters_by_token(inputs, written))
    if rows < min(LEAST_ROWS, len(lengths)):
        LOG.info("no projections: the model can read %d test rows in the time for it, %d are needed", rows, LEAST_ROWS)
        return None
    chosen = np.unique(np.linspace(0, len(lengths) - 1, rows).astype(np.int64))
    found = _vectors(MERGED.load(inputs, written), inputs, chosen, split=split)
    if found is None:
        LOG.info("no projections: the model has no hidden state for each token")
        return None
    vectors = found.astype(np.float64)
    directions = directions_from(vectors, _mean_logits(test, chosen))
    return Projections(directions=directions, values=vectors @ directions.T)


def affordable_rows(lengths: NDArray[np.int64], *, parameters: int) -> int:
    """Return how many rows, of tokens [n], a model may read. parameters: that each token is multiplied with."""
    return min(MOST_ROWS, len(lengths), int(MOST_OPERATIONS / (2 * parameters * lengths.mean())))


def parameters_by_token(inputs: ExportInputs, written: Path) -> int:
    """Return how many parameters each token is multiplied with. No weight is read."""
    auto_class = getattr(transformers, inputs.task.auto_class)
    model = auto_class.from_pretrained(written, local_files_only=True, device_map="meta")
    everything: int = sum(parameter.numel() for parameter in model.parameters())
    looked_up: int = model.get_input_embeddings().weight.numel()
    return max(1, everything - looked_up)


def directions_from(vectors: NDArray[np.float64], logits: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return at most 4 directions [k, H] of vectors [n, H], whose projections have a standard deviation of 1. logits: [n, C].

    The largest number of a direction is positive.
    """
    centred = vectors - vectors.mean(axis=0)
    moved, strength, _ = np.linalg.svd(centred.T @ (logits - logits.mean(axis=0)), full_matrices=False)
    known = moved[:, strength > _LEAST_OF_LOGITS * strength[0]][:, :_MOST_LOGITS_AXES]
    _, spread, axes = np.linalg.svd(centred - centred @ known @ known.T, full_matrices=False)
    deviations = spread / np.sqrt(len(vectors))
    least = _LEAST_SPREAD * np.sqrt(np.mean(np.square(vectors).sum(axis=1)))
    directions = [
        axis * np.sign(axis[np.abs(axis).argmax()]) / deviation
        for axis, deviation in zip(axes[: len(PROJECTIONS)], deviations, strict=False)
        if deviation > least
    ]
    return np.array(list(map(_rounded, directions))).reshape(len(directions), vectors.shape[1])


def _rounded(direction: NDArray[np.float64]) -> NDArray[np.float64]:
    decimals = _DIGITS - 1 - int(np.floor(np.log10(np.abs(direction).max())))
    return np.round(direction, decimals) + 0.0  # no -0.0


def _mean_logits(test: Predictions, rows: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the mean of the logits over the targets of each row, [n, C]; 0 for a row without a target."""
    found = np.zeros((len(rows), test.values.shape[1]))
    for place, row in enumerate(rows):
        of_row = test.values[test.offsets[row] : test.offsets[row + 1]]
        if len(of_row):
            found[place] = of_row.mean(axis=0)
    return found


def _vectors(model: Any, inputs: ExportInputs, chosen: NDArray[np.int64], *, split: str) -> NDArray[np.float32] | None:
    """Return the vectors [n, H] of rows, computed in batches of rows of like length; None if the model has none."""
    rows = open_split(Path(inputs.prepared.dataset_path), split)
    by_length = np.argsort(rows.lengths[chosen], kind="stable")
    vectors: NDArray[np.float32] | None = None
    with noting(model) as last, torch.inference_mode():
        for start in range(0, len(by_length), BATCH):
            places = by_length[start : start + BATCH]
            batch = inputs.task.collate(rows, chosen[places], inputs.pad_token_id)
            given = {name: torch.from_numpy(array) for name, array in batch.inputs.items()}
            model(**given)
            found = last.vectors(given["attention_mask"])
            if found is None:
                return None
            if vectors is None:
                vectors = np.empty((len(chosen), found.shape[1]), dtype=np.float32)
            vectors[places] = found.float().numpy()
    return vectors
