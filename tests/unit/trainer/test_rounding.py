"""How far logits may lie from expected ones before an export is refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuneloop_trainer.export.rounding import EPSILON, SMALLEST, TYPICAL, compare, share_allowed

PRECISIONS = pytest.mark.parametrize("precision", ["fp32", "bf16"])


def some_logits(size: float, *, seed: int = 0) -> np.ndarray:
    """200 targets with 3 logits of this root mean square."""
    logits = np.random.default_rng(seed).normal(size=(200, 3))
    return (size * logits / np.sqrt(np.mean(logits**2))).astype(np.float32)


@PRECISIONS
@pytest.mark.parametrize("size", [0.1, 1.0, 300.0, 1e6])
def test_the_bounds_grow_with_the_logits(precision, size):
    expected = some_logits(size)
    steps = np.where(np.arange(200)[:, None] % 2, 1, -1)
    allowed = share_allowed(precision) * size
    for share, is_rounding in ((0.9, True), (1.1, False)):
        everywhere = compare(expected + share * TYPICAL * allowed * steps, expected, precision=precision)
        assert everywhere.is_rounding is is_rounding
        single = expected.copy()
        single[7, 1] += share * allowed
        assert compare(single, expected, precision=precision).is_rounding is is_rounding


@PRECISIONS
def test_the_bounds_of_very_small_logits_shrink_no_further(precision):
    expected = np.zeros((50, 2), dtype=np.float32)
    assert compare(expected, expected, precision=precision).allowed == share_allowed(precision) * SMALLEST


def test_a_bound_is_a_number_of_epsilons_of_its_format():
    assert {"fp32": np.finfo(np.float32).eps, "bf16": 2.0**-7} == EPSILON
    assert (share_allowed("fp32"), share_allowed("bf16")) == (2.0**-13, 0.5)


@PRECISIONS
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_logit_that_is_not_finite_is_no_rounding(precision, value):
    found = some_logits(2.0)
    found[3, 0] = value
    assert not compare(found, some_logits(2.0), precision=precision).is_rounding


def test_no_targets_are_equal():
    assert compare(np.zeros((0, 2), np.float32), np.zeros((0, 2), np.float32), precision="fp32").is_rounding


@given(seed=st.integers(0, 2**32 - 1), size=st.sampled_from([0.5, 5.0, 500.0]), share=st.floats(0, 1))
def test_where_logits_agree_classes_differ_only_at_near_ties(seed, size, share):
    expected = some_logits(size, seed=seed)
    generator = np.random.default_rng(seed)
    found = expected + share * generator.uniform(-1, 1, expected.shape).astype(np.float32) * size / 4
    differences = compare(found, expected, precision="bf16")
    margins = np.diff(np.sort(expected, axis=1)[:, -2:]).ravel()
    other = found.argmax(axis=1) != expected.argmax(axis=1)
    assert (margins[other] <= 2 * differences.largest * 1.0001).all()
