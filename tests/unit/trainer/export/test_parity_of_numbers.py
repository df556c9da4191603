"""Numbers are compared in standard deviations: a wrong scale shows however large the mean is, and rounding in the user's unit does not."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuneloop_api.contract.artifact import TargetScale
from tuneloop_trainer.export.parity import Sample
from tuneloop_trainer.export.rounding import compare
from tuneloop_trainer.tasks.task import Task
from tuneloop_trainer.tasks.text_classification import TEXT_CLASSIFICATION
from tuneloop_trainer.tasks.text_regression import TEXT_REGRESSION, _comparable

NONE = np.zeros(0)


def sample(fitted: Task) -> Sample:
    return Sample(
        task=fitted, split=None, chosen=NONE, texts=[], row_of_line=NONE, fitted=fitted, labels=NONE, measured=NONE
    )


def is_rounding(found: np.ndarray, expected: np.ndarray, scale: TargetScale) -> bool:
    values = (column.astype(np.float32)[:, None] for column in (found, expected))
    fitted = replace(TEXT_REGRESSION, comparable=partial(_comparable, scale=scale))
    return compare(*sample(fitted).comparable(*values), precision="fp32").is_rounding


@given(
    mean=st.floats(-500, 500),
    std=st.sampled_from([1e-3, 1.0, 1e4]),
    spread=st.sampled_from([0.0, 0.01, 1.0]),
    seed=st.integers(0, 99),
)
def test_the_rounding_of_numbers_in_their_unit_is_allowed(mean, std, spread, seed):
    outputs = np.random.default_rng(seed).normal(size=96) * spread
    numbers = (outputs + mean) * std
    noisy = numbers + np.spacing(np.abs(numbers).astype(np.float32)) * np.random.default_rng(seed + 1).choice(
        [-0.5, 0, 0.5], 96
    )
    assert is_rounding(noisy, numbers, TargetScale(mean=mean * std, std=std))


@pytest.mark.parametrize("mean", [0.0, 500.0])
@pytest.mark.parametrize("wrong", [{"std": 1.01}, {"mean": 0.01}])
def test_a_wrong_scale_is_found(mean, wrong):
    outputs = np.random.default_rng(0).normal(size=96) * 0.3
    numbers = outputs + mean
    folded = outputs * wrong.get("std", 1.0) + mean + wrong.get("mean", 0.0)
    assert not is_rounding(folded, numbers, TargetScale(mean=mean, std=1.0))


def test_logits_are_compared_as_they_are():
    logits = np.ones((3, 2), dtype=np.float32)
    assert sample(TEXT_CLASSIFICATION).comparable(logits) == [pytest.approx(logits)]
