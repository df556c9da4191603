"""Rows with several labels: how they are kept, and their loss."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tuneloop_trainer.dataset.shards import TokenizedSplit
from tuneloop_trainer.tasks.multi_label_classification import MULTI_LABEL_CLASSIFICATION as TASK
from tuneloop_trainer.tasks.multi_label_classification import label_bits


def split_of(rows: list[list[int]], labels: int) -> TokenizedSplit:
    """Return a split whose rows, of one token each, have these labels."""
    columns = [label_bits(row, labels) for row in rows]
    count = len(rows)
    return TokenizedSplit(
        name="train",
        lengths=np.ones(count, dtype=np.int64),
        rows=np.arange(count),
        targets=np.ones(count, dtype=np.int64),
        row_columns={name: np.array([row[name] for row in columns]) for name in columns[0]}
        | {"groups": np.arange(count)},
        ids=(np.arange(count, dtype=np.int32),),
        token_columns={},
        first_rows=np.array([0, count]),
        starts=np.arange(count),
    )


@given(data=st.data(), labels=st.integers(2, 130))
def test_every_label_of_a_row_is_kept_and_no_other_is_there(data, labels):
    rows = data.draw(st.lists(st.lists(st.integers(0, labels - 1), unique=True), min_size=1, max_size=5))
    truth = TASK.target_labels(split_of(rows, labels))
    assert truth.shape == (len(rows), labels)
    assert [np.flatnonzero(row).tolist() for row in truth] == [sorted(row) for row in rows]


def test_a_batch_has_the_labels_of_its_rows_in_its_order():
    batch = TASK.collate(split_of([[0], [], [1, 2]], 3), np.array([2, 0]), 0)
    assert batch.labels.tolist() == [[0, 1, 1], [1, 0, 0]]
    assert batch.inputs["input_ids"].tolist() == [[2], [0]]


def output(logits: torch.Tensor) -> Any:
    return SimpleNamespace(logits=logits)


@pytest.fixture
def batch() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(6, 5, generator=generator), torch.randint(0, 2, (6, 5), generator=generator)


def test_the_mean_loss_of_rows_is_the_loss_that_transformers_has(batch):
    logits, labels = batch
    expected = torch.nn.BCEWithLogitsLoss()(logits, labels.float())
    torch.testing.assert_close(TASK.loss_sum(output(logits), labels, 0.0) / len(logits), expected)


def test_the_loss_does_not_depend_on_how_the_rows_are_divided(batch):
    logits, labels = batch
    parts = [TASK.loss_sum(output(logits[rows]), labels[rows], 0.0) for rows in (slice(0, 1), slice(1, 4), slice(4, 6))]
    torch.testing.assert_close(sum(parts), TASK.loss_sum(output(logits), labels, 0.0))


def test_the_loss_is_in_float32_whatever_the_model_computes_in(batch):
    logits, labels = batch
    assert TASK.loss_sum(output(logits.bfloat16()), labels, 0.0).dtype == torch.float32
