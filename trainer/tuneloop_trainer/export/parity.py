"""The proof that what is published is what was trained: its own files must give the logits of the trained weights, and of training.

Two comparisons, because formats of numbers differ. The trained weights and the files compute in fp32: any fault of an export shows between
them, whatever the precision of the training. What training measured, in bf16 perhaps, shows whether the weights and the base model are those
that were measured. `rounding` says how far each may differ.

Shapes: n = rows that are compared, m = the lines that their task keeps of them, K = values of a line.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from tuneloop_trainer.data.tokenize import wrap
from tuneloop_trainer.dataset.shards import WINDOW, open_split, read_rows
from tuneloop_trainer.errors import StageError, StorageError
from tuneloop_trainer.export.rounding import TYPICAL, Differences, compare
from tuneloop_trainer.models.tokenizer import load_tokenizer

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from typing import Any

    from numpy.typing import NDArray
    from torch import nn

    from tuneloop_api.contract.results import Precision
    from tuneloop_trainer.dataset.shards import TokenizedSplit
    from tuneloop_trainer.evaluation.predictions import Predictions
    from tuneloop_trainer.tasks.task import Row, Task

ROWS = 96
BATCH = 16
CONFIG = "config.json"
_UNNAMED = {"0": "LABEL_0", "1": "LABEL_1"}
"""What transformers calls two labels itself, and leaves out of the file."""


@dataclass(frozen=True, kw_only=True)
class Sample:
    """Test rows to compare: n of them, spread evenly over the split."""

    task: Task
    split: TokenizedSplit
    """The prepared test split."""
    chosen: NDArray[np.int64]
    """Indexes of the rows in the split, [n]."""
    rows: list[Row]
    """[n]"""
    row_of_line: NDArray[np.int64]
    """Row id of each line, [m]."""
    fitted: Task
    """The task as training had it, with the scale of the numbers."""
    labels: NDArray[Any]
    """Of each line, [m, …], as `Task.target_labels` has them."""
    measured: NDArray[np.float32]
    """What training measured, [m, K]."""

    def comparable(self, *values: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        """Return what is compared of values [m, K]."""
        return [self.fitted.comparable(found, self.labels) for found in values]


def sample(test: Predictions, *, task: Task, dataset: Path) -> Sample:
    """Return rows of the prepared test split to compare.

    Raises StorageError if predictions and data are not of the same rows.
    """
    split = open_split(dataset, "test")
    if not (
        np.array_equal(split.rows[split.first_windows], test.rows)
        and np.array_equal(task.target_labels(split), test.labels)
    ):
        raise StorageError(
            f"the test predictions are not of the test split in {dataset}: rows or labels differ",
            hint="the data set was replaced after training: run the job under another name",
        )
    rows, row_of_window = len(split.rows), split.row_of_window
    chosen = np.unique(np.linspace(0, rows - 1, min(ROWS, rows)).astype(np.int64))
    wanted = set(row_of_window[chosen].tolist())
    contents = {row: content for row, (_, content) in enumerate(read_rows(dataset, "test")) if row in wanted}
    window_of_line = np.repeat(np.arange(rows), task.lines_per_row(split))
    is_of_chosen = np.isin(window_of_line, chosen)
    return Sample(
        task=task,
        split=split,
        chosen=chosen,
        fitted=task.on(open_split(dataset, "train")),
        rows=[contents[row] for row in row_of_window[chosen].tolist()],
        row_of_line=split.rows[window_of_line[is_of_chosen]],
        labels=test.labels[is_of_chosen],
        measured=test.values[is_of_chosen],
    )


def trained_logits(model: nn.Module, expected: Sample, *, pad_token_id: int) -> NDArray[np.float32]:
    """Return the logits, [m, K], of the trained model as training held it, computed here from the tokens of `prepare`."""
    starts = range(0, len(expected.chosen), BATCH)
    return np.concatenate(
        [_kept(model, expected, expected.chosen[start : start + BATCH], pad_token_id=pad_token_id) for start in starts]
    )


def check_parity(
    model: nn.Module, folder: Path, expected: Sample, *, trained: NDArray[np.float32], precision: Precision
) -> float:
    """Return the largest difference of a logit between the files in `folder` and the trained weights.

    model: loaded from `folder`, in evaluation mode. trained: logits of the trained weights. precision: of what training measured.
    Raises StageError if the tokenizer, the names of the classes or the logits are not those of the trained model.
    """
    tokenizer = load_tokenizer(folder, as_text=expected.task.reads_text_alone)
    parts = []
    for start in range(0, len(expected.chosen), BATCH):
        rows = expected.chosen[start : start + BATCH]
        found_tokens = _tokens(tokenizer, expected, start=start)
        _check_tokens(found_tokens, expected.split, rows, folder=folder)
        parts.append(_kept(model, expected, rows, pad_token_id=tokenizer.pad_token_id))
    found = np.concatenate(parts)
    from_trained = compare(*expected.comparable(found, trained), precision="fp32")
    from_measured = compare(*expected.comparable(found, expected.measured), precision=precision)
    _check_differences(from_measured, expected, folder=folder, what="what training measured")
    _check_differences(from_trained, expected, folder=folder, what="the trained weights")
    return from_trained.largest


def _tokens(tokenizer: Any, expected: Sample, *, start: int) -> list[list[int]]:
    """Return the tokens that the published tokenizer makes of a batch of rows from `start` on, cut or in windows."""
    task, rows = expected.task, expected.rows[start : start + BATCH]
    most, texts = tokenizer.model_max_length, [task.text_of(row) for row in rows]
    if task.windows is not None:
        if task.windows_of_text is not None:
            windows = [task.windows_of_text(tokenizer, text, most) for text in texts]
        else:
            windows = [task.windows(row, most) for row in task.encode(tokenizer, rows, {})]
        places = expected.split.row_column(WINDOW)[expected.chosen[start : start + BATCH]].tolist()
        return [of_row[place].input_ids.tolist() for of_row, place in zip(windows, places, strict=True)]
    if not task.reads_text_alone:
        wrapped = wrap(tokenizer, vocabulary=len(tokenizer))
        return [wrapped.cut(row, most).input_ids.tolist() for row in task.encode(tokenizer, rows, {})]
    found: list[list[int]] = tokenizer(texts, truncation=True)["input_ids"]
    return found


def check_labels(folder: Path, labels: Sequence[str]) -> None:
    """Raise StageError if the config in `folder` names other classes, or in another order. labels: none for a task without classes, whose config may name any."""
    if not labels:
        return
    named = json.loads((folder / CONFIG).read_text(encoding="utf-8")).get("id2label") or _UNNAMED
    found = [named.get(str(index)) for index in range(len(labels))]
    if found != list(labels) or len(named) != len(labels):
        raise StageError(
            f"the {folder.name} in the artifact names the classes {list(named.values())}, {list(labels)} are expected; nothing was published",
            hint="this is a defect of Tuneloop: please report it",
        )


def _kept(model: nn.Module, expected: Sample, rows: NDArray[np.int64], *, pad_token_id: int) -> NDArray[np.float32]:
    """Return what the task keeps of rows, by their indexes in the split."""
    task = expected.task
    batch = task.collate(expected.split, rows, pad_token_id)
    inputs = {name: torch.from_numpy(array) for name, array in batch.inputs.items()}
    with torch.inference_mode():
        found: NDArray[np.float32] = task.target_values(model(**inputs), torch.from_numpy(batch.labels)).float().numpy()
    return found


def _check_differences(found: Differences, expected: Sample, *, folder: Path, what: str) -> None:
    if found.is_rounding:
        return
    worst = int(np.argmax(np.nan_to_num(found.by_target, nan=np.inf)))
    raise StageError(
        f"the {folder.name} in the artifact is not what was trained: on test row {expected.row_of_line[worst]} a logit differs by "
        f"{found.by_target[worst]:.2g} from {what}, and logits differ by {found.typical:.2g} as a rule (root mean square); rounding explains "
        f"{found.allowed:.2g} and {found.allowed * TYPICAL:.2g}; nothing was published",
        hint="the base model or the trained weights changed after training, or the files do not hold all that was trained",
    )


def _check_tokens(found: list[list[int]], split: TokenizedSplit, rows: NDArray[np.int64], *, folder: Path) -> None:
    for index, ids in zip(rows, found, strict=True):
        expected = split.tokens(int(index)).tolist()
        if ids != expected:
            raise StageError(
                f"the tokenizer in {folder.name} reads test row {split.rows[index]} otherwise than prepare did: "
                f"{len(ids)} tokens, {len(expected)} are expected; nothing was published",
                hint="the tokenizer's files do not hold all of its settings; use a model whose tokenizer has a tokenizer.json",
            )
