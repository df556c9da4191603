"""The proof that what is published is what was trained: its own files must give the logits that training measured.

Shapes: n = rows that are compared, m = their targets, C = classes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from tuneloop_trainer.dataset.shards import open_split, read_rows
from tuneloop_trainer.errors import StageError, StorageError
from tuneloop_trainer.models.tokenizer import load_tokenizer

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

    from numpy.typing import NDArray
    from torch import nn

    from tuneloop_api.contract.results import Precision
    from tuneloop_trainer.dataset.shards import TokenizedSplit
    from tuneloop_trainer.evaluation.predictions import Predictions
    from tuneloop_trainer.tasks.task import Task

ROWS = 96
BATCH = 16
TOLERANCE = {"fp32": 1e-4, "bf16": 0.25}
"""Largest difference of a logit. Export computes in fp32: what bf16 training measured has some 3 significant digits a layer."""


@dataclass(frozen=True, kw_only=True)
class Sample:
    """Test rows to compare: n of them, spread evenly over the split."""

    task: Task
    split: TokenizedSplit
    """The prepared test split."""
    chosen: NDArray[np.int64]
    """Indexes of the rows in the split, [n]."""
    texts: list[str]
    """What the model reads, [n]."""
    values: list[NDArray[np.float32]]
    """The logits of each row's targets as training measured them, n times [targets of the row, C]."""


def sample(test: Predictions, *, task: Task, dataset: Path) -> Sample:
    """Return rows of the prepared test split to compare.

    Raises StorageError if predictions and data are not of the same rows.
    """
    split = open_split(dataset, "test")
    if not (np.array_equal(split.rows, test.rows) and np.array_equal(task.target_labels(split), test.labels)):
        raise StorageError(
            f"the test predictions are not of the test split in {dataset}: rows or labels differ",
            hint="the data set was replaced after training: run the job under another name",
        )
    rows = len(split.rows)
    chosen = np.unique(np.linspace(0, rows - 1, min(ROWS, rows)).astype(np.int64))
    wanted = set(chosen.tolist())
    return Sample(
        task=task,
        split=split,
        chosen=chosen,
        texts=[task.text_of(row) for index, (_, row) in enumerate(read_rows(dataset, "test")) if index in wanted],
        values=[test.values[test.offsets[index] : test.offsets[index + 1]] for index in chosen],
    )


def check_parity(model: nn.Module, folder: Path, expected: Sample, *, precision: Precision) -> float:
    """Return the largest difference of a logit between the files in `folder` and training.

    model: loaded from `folder`, in evaluation mode. Raises StageError if the tokenizer or a logit differs by more than the tolerance.
    """
    tokenizer = load_tokenizer(folder)
    largest = 0.0
    for start in range(0, len(expected.chosen), BATCH):
        rows = expected.chosen[start : start + BATCH]
        inputs = tokenizer(expected.texts[start : start + BATCH], truncation=True, padding=True, return_tensors="pt")
        _check_tokens(inputs, expected.split, rows, folder=folder)
        labels = torch.from_numpy(expected.task.collate(expected.split, rows, tokenizer.pad_token_id).labels)
        with torch.inference_mode():
            found = expected.task.target_values(model(**inputs), labels).float().numpy()
        measured = expected.values[start : start + BATCH]
        differences = np.abs(found - np.concatenate(measured)).max(axis=1, initial=0.0)
        _check_differences(differences, expected, start=start, folder=folder, precision=precision)
        largest = max(largest, float(differences.max(initial=0.0)))
    return largest


def _check_differences(
    differences: NDArray[np.float32], expected: Sample, *, start: int, folder: Path, precision: Precision
) -> None:
    """Raise StageError if a target's largest difference, [targets of the batch], is more than the tolerance or not a number."""
    wrong = ~(differences <= TOLERANCE[precision])
    if not wrong.any():
        return
    worst = int(np.argmax(np.where(wrong, differences, -1.0)))
    line = int(np.searchsorted(np.cumsum([len(values) for values in expected.values[start:]]), worst, side="right"))
    row = int(expected.split.rows[expected.chosen[start + line]])
    raise StageError(
        f"the {folder.name} in the artifact is not what was trained: on test row {row} a logit differs by "
        f"{differences[worst]:.2g}, at most {TOLERANCE[precision]:g} is allowed; nothing was published",
        hint="the base model or the trained weights changed after training, or the adapter does not hold all that was trained",
    )


def _check_tokens(inputs: Any, split: TokenizedSplit, rows: NDArray[np.int64], *, folder: Path) -> None:
    lengths = inputs["attention_mask"].sum(dim=1).tolist()
    for index, ids, length in zip(rows, inputs["input_ids"].tolist(), lengths, strict=True):
        expected = split.tokens(int(index)).tolist()
        if ids[:length] != expected:
            raise StageError(
                f"the tokenizer in {folder.name} reads test row {split.rows[index]} otherwise than prepare did: "
                f"{length} tokens, {len(expected)} are expected; nothing was published",
                hint="the tokenizer's files do not hold all of its settings; use a model whose tokenizer has a tokenizer.json",
            )
