"""Intervals of accuracies whose rows come in clusters."""

from __future__ import annotations

import random

import numpy as np
import pytest
from demo_loop.accuracy import accuracy_of, design_effect, wilson


def test_wilsons_limits_are_those_of_his_formula() -> None:
    # 81 of 263: Newcombe, Statistics in Medicine 17 (1998) 857, table I
    assert wilson(81 / 263, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)


@pytest.mark.parametrize(("share", "low", "high"), [(0.0, 0.0, 0.2775), (1.0, 0.7225, 1.0)])
def test_the_limits_have_a_width_where_all_agree(share: float, low: float, high: float) -> None:
    assert wilson(share, 10) == pytest.approx((low, high), abs=1e-4)


def test_rows_that_repeat_their_parent_count_as_their_parents() -> None:
    parents = [str(n) for n in range(200) for _ in range(5)]
    of_parent = random.Random(1).choices([True, False], k=200)
    right = [answer for answer in of_parent for _ in range(5)]
    assert design_effect(np.array(right, dtype=float), parents) == pytest.approx(5, rel=0.02)
    found = accuracy_of(right, parents)
    assert (found.low, found.high) == pytest.approx(wilson(found.value, 200), abs=0.002)


def test_two_parents_are_two_observations() -> None:
    assert design_effect(np.array([1.0, 1.0, 0.0, 0.0]), ["a", "a", "b", "b"]) == pytest.approx(4.0)


def test_rows_without_a_common_parent_have_plain_limits() -> None:
    right = random.Random(2).choices([True, False], k=300)
    found = accuracy_of(right, [str(n) for n in range(300)])
    assert (found.low, found.high) == pytest.approx(wilson(sum(right) / 300, 300), abs=1e-3)


def test_clusters_that_scatter_less_than_chance_do_not_narrow_the_limits() -> None:
    assert design_effect(np.array([1.0, 0.0] * 50), [str(n // 2) for n in range(100)]) == 1.0


def test_the_interval_covers_the_truth_of_clustered_rows() -> None:
    source = np.random.default_rng(3)
    covered = 0
    for _ in range(400):
        shares = source.beta(8, 2, size=60)
        right = np.concatenate([source.random(8) < share for share in shares])
        found = accuracy_of(right.tolist(), np.repeat(np.arange(60), 8).astype(str).tolist())
        covered += found.low <= 0.8 <= found.high
    assert 0.92 <= covered / 400 <= 0.98


def test_no_rows_have_no_accuracy() -> None:
    with pytest.raises(ValueError, match="no rows"):
        accuracy_of([], [])
