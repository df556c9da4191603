"""The proof that what is published is what was trained: its own files must give the logits that training measured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from transformers import AutoTokenizer

from tuneloop_trainer.dataset.shards import open_split, read_texts
from tuneloop_trainer.errors import StageError, StorageError

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

    from numpy.typing import NDArray
    from torch import nn

    from tuneloop_api.contract.results import Precision
    from tuneloop_trainer.evaluation.predictions import Predictions

ROWS = 96
BATCH = 16
TOLERANCE = {"fp32": 1e-4, "bf16": 0.25}
"""Largest difference of a logit. Export computes in fp32: what bf16 training measured has some 3 significant digits a layer."""


@dataclass(frozen=True, kw_only=True)
class Sample:
    """Test rows to compare: n of them, spread evenly over the split."""

    texts: list[str]
    tokens: list[list[int]]
    """What `prepare` made of each text, and training read."""
    rows: list[int]
    """Row ids."""
    logits: NDArray[np.float32]
    """What training measured, [n, C]."""


def sample(test: Predictions, *, dataset: Path) -> Sample:
    """Return rows of the prepared test split to compare.

    Raises StorageError if predictions and data are not of the same rows.
    """
    split = open_split(dataset, "test")
    if not (np.array_equal(split.rows, test.rows) and np.array_equal(split.labels, test.labels)):
        raise StorageError(
            f"the test predictions are not of the test split in {dataset}: rows or labels differ",
            hint="the data set was replaced after training: run the job under another name",
        )
    rows = len(split.rows)
    chosen = np.unique(np.linspace(0, rows - 1, min(ROWS, rows)).astype(np.int64))
    wanted = set(chosen.tolist())
    return Sample(
        texts=[text for index, (_, text, _) in enumerate(read_texts(dataset, "test")) if index in wanted],
        tokens=[split.tokens(int(index)).tolist() for index in chosen],
        rows=split.rows[chosen].tolist(),
        logits=test.logits[chosen],
    )


def check_agreement(model: nn.Module, folder: Path, expected: Sample, *, precision: Precision) -> float:
    """Return the largest difference of a logit between the files in `folder` and training.

    model: loaded from `folder`, in evaluation mode. Raises StageError if the tokenizer or a logit differs by more than the tolerance.
    """
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    logits = []
    for start in range(0, len(expected.texts), BATCH):
        batch = tokenizer(expected.texts[start : start + BATCH], truncation=True, padding=True, return_tensors="pt")
        _check_tokens(batch, expected, start=start, folder=folder)
        with torch.inference_mode():
            logits.append(model(**batch).logits.float().numpy())
    differences = np.abs(np.concatenate(logits) - expected.logits).max(axis=1)
    worst = int(differences.argmax())
    if not differences[worst] <= TOLERANCE[precision]:
        raise StageError(
            f"the {folder.name} in the artifact is not what was trained: on test row {expected.rows[worst]} a logit differs by "
            f"{differences[worst]:.2g}, at most {TOLERANCE[precision]:g} is allowed; nothing was published",
            hint="the base model or the trained weights changed after training, or the adapter does not hold all that was trained",
        )
    return float(differences[worst])


def _check_tokens(batch: Any, expected: Sample, *, start: int, folder: Path) -> None:
    lengths = batch["attention_mask"].sum(dim=1).tolist()
    for offset, (ids, length) in enumerate(zip(batch["input_ids"].tolist(), lengths, strict=True)):
        if ids[:length] != expected.tokens[start + offset]:
            raise StageError(
                f"the tokenizer in {folder.name} reads test row {expected.rows[start + offset]} otherwise than prepare did: "
                f"{length} tokens, {len(expected.tokens[start + offset])} are expected; nothing was published",
                hint="the tokenizer's files do not hold all of its settings; use a model whose tokenizer has a tokenizer.json",
            )
