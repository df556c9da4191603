"""Rows of a micro-batch: padded on the right to the longest, with labels in the order of the rows."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tuneloop_trainer.tasks import TASKS

TOKENS = [np.array([5, 6, 7]), np.array([8]), np.array([9, 9])]
TAGS = [np.array([-100, 1, 0]), np.array([2]), np.array([-100, 3])]


@pytest.fixture
def split() -> Any:
    return SimpleNamespace(
        lengths=np.array([3, 1, 2]),
        tokens=TOKENS.__getitem__,
        row_column=lambda _name: np.array([1, 0, 1]),
        token_column=lambda _name, row: TAGS[row],
    )


@pytest.mark.parametrize(
    ("task", "labels"), [("text-classification", [0, 1]), ("token-classification", [[2, -100], [-100, 3]])]
)
def test_rows_are_padded_on_the_right_to_the_longest(split: Any, task: str, labels: list[Any]) -> None:
    batch = TASKS[task].collate(split, np.array([1, 2]), -1)
    assert batch.inputs["input_ids"].tolist() == [[8, -1], [9, 9]]
    assert batch.inputs["attention_mask"].tolist() == [[1, 0], [1, 1]]
    assert batch.labels.tolist() == labels
