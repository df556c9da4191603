"""Runs a published model over rows, on the CPU in float32, as the server loads it.

Shapes: N = rows of the set, M = lines that the task keeps of them, K = values of a line.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from tuneloop_trainer.errors import NonFiniteLossError, StageError
from tuneloop_trainer.evaluation.predictions import Predictions
from tuneloop_trainer.export.parity import BATCH
from tuneloop_trainer.failures import first_line
from tuneloop_trainer.models.load_served import load_served

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from tuneloop_trainer.dataset.shards import TokenizedSplit
    from tuneloop_trainer.tasks.task import Task


def predict_sets(
    folder: Path,
    splits: Sequence[TokenizedSplit],
    *,
    task: Task,
    labels: Sequence[str],
    pad_token_id: int,
    beat: Callable[[float], None],
) -> list[Predictions]:
    """Return the predictions of the model in `folder` for each split; the model is freed then. labels: the order of the classes in the result.

    beat: called with the fraction done. Raises StageError if the model cannot be loaded, NonFiniteLossError if its logits are not finite.
    """
    model = _load(folder, task=task)
    order = _order(model, labels, folder=folder) if labels else slice(None)
    rows = sum(len(split.rows) for split in splits)
    found: list[Predictions] = []
    for split in splits:
        done = sum(len(predictions.rows) for predictions in found)
        values = _values(
            model, split, task=task, pad_token_id=pad_token_id, beat=partial(_beat, beat, done=done, rows=rows)
        )
        if not np.isfinite(values).all():
            raise NonFiniteLossError(f"{folder}: some logits for the {split.name} set are not finite")
        found.append(
            Predictions(
                values=values[:, order],
                labels=task.target_labels(split),
                rows=split.rows,
                offsets=np.cumsum([0, *task.lines_per_row(split)], dtype=np.int64),
            )
        )
    return found


def _order(model: Any, labels: Sequence[str], *, folder: Path) -> list[int]:
    """Return where each label stands among those of the model."""
    named = [str(model.config.id2label.get(index)) for index in range(model.config.num_labels)]
    if sorted(named) != sorted(labels):
        raise StageError(f"{folder}/config.json has the labels {named[:20]}, {list(labels)[:20]} are expected")
    return [named.index(label) for label in labels]


def _beat(beat: Callable[[float], None], more: int, *, done: int, rows: int) -> None:
    beat((done + more) / rows)


def _load(folder: Path, *, task: Task) -> Any:
    try:
        model, absent = load_served(folder, task=task)
    except MemoryError:
        raise
    except Exception as error:  # whatever transformers raises for files that it cannot read
        raise StageError(f"{folder}: cannot be loaded: {first_line(error)}") from error
    if absent:
        raise StageError(f"{folder}: the weights lack {', '.join(absent[:5])}, or have them in another shape")
    return model


def _values(
    model: Any, split: TokenizedSplit, *, task: Task, pad_token_id: int, beat: Callable[[int], None]
) -> NDArray[np.float32]:
    """Return what the task keeps, in the order of the rows, [M, K]; batches are of rows of like length."""
    lines = task.lines_per_row(split)
    order = np.argsort(-split.lengths, kind="stable")
    parts: dict[int, NDArray[np.float32]] = {}
    for start in range(0, len(order), BATCH):
        rows = order[start : start + BATCH]
        batch = task.collate(split, rows, pad_token_id)
        inputs = {name: torch.from_numpy(array) for name, array in batch.inputs.items()}
        with torch.inference_mode():
            values = task.target_values(model(**inputs), torch.from_numpy(batch.labels)).float().numpy()
        parts |= zip(rows.tolist(), np.split(values, np.cumsum(lines[rows])[:-1]), strict=True)
        beat(start + len(rows))
    return np.concatenate([parts[row] for row in range(len(order))])
