"""Errors of numbers are to fall, and what is explained of them is to rise."""

from __future__ import annotations

import pytest

from tuneloop_trainer.training.selection import gain


@pytest.mark.parametrize(
    ("metric", "better", "worse"),
    [
        ("rmse", 1.0, 2.0),
        ("mae", 1.0, 2.0),
        ("loss", 1.0, 2.0),
        ("r2", 0.9, 0.8),
        ("pearson", 0.9, 0.8),
        ("spearman", 0.9, 0.8),
    ],
)
def test_a_better_metric_of_numbers_is_a_gain(metric, better, worse):
    assert gain(metric, worse, better) > 0
    assert gain(metric, better, worse) < 0
