"""Ratios of times in fixed bins."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from tuneloop_operator.decide.model_deployment.gates.evidence import Evidence, Levels, Missing
from tuneloop_operator.decide.model_deployment.gates.latency import (
    EDGES,
    RatioHistogram,
    bin_of,
    limit_rank,
    median_ratio,
    slower_pairs,
)
from tuneloop_operator.decide.model_deployment.gates.verdict import Verdict

LEVELS = Levels(fail=0.0033, promote=0.0167)


def histogram_of(ratios) -> RatioHistogram:
    places = [bin_of(canary_seconds=ratio, stable_seconds=1.0) for ratio in ratios]
    return RatioHistogram(counts=tuple(np.bincount(places, minlength=len(EDGES) + 1).tolist()))


def harm_of(histogram: RatioHistogram) -> Evidence:
    evidence = median_ratio(histogram, levels=LEVELS)
    assert isinstance(evidence, Evidence)
    return evidence


@given(st.integers(1, 5_000), st.sampled_from([0.05, 0.0167, 0.0033]))
def test_the_rank_of_a_limit_is_that_of_the_sign_test(pairs, level):
    rank = limit_rank(pairs, level)
    assert stats.binom.cdf(rank - 1, pairs, 0.5) <= level + 1e-12
    assert stats.binom.cdf(rank, pairs, 0.5) > level - 1e-12


@given(st.lists(st.floats(0.02, 50), min_size=1, max_size=300))
def test_bins_only_widen_the_interval_of_the_exact_times(ratios):
    evidence, ordered = harm_of(histogram_of(ratios)), sorted(ratios)
    below, above = limit_rank(len(ratios), LEVELS.fail), limit_rank(len(ratios), LEVELS.promote)
    assert evidence.low <= (ordered[below - 1] - 1 if below else -1)
    assert evidence.high >= (ordered[len(ratios) - above] - 1 if above else math.inf)


@pytest.mark.parametrize("margin", [0.05, 0.1, 0.2, 0.5])
@given(st.integers(0, 400))
def test_at_a_margin_on_an_edge_the_verdict_needs_only_the_pairs_within_it(margin, within):
    """Bins next to the margin hold all pairs, or the bins far away do: the verdict is the same."""
    near, far = [0] * (len(EDGES) + 1), [0] * (len(EDGES) + 1)
    place = EDGES.index(margin)
    near[place], near[place + 1], far[0], far[-1] = within, 400 - within, within, 400 - within
    verdicts = {
        (evidence.low > margin, evidence.high <= margin)
        for evidence in (harm_of(RatioHistogram(counts=tuple(counts))) for counts in (near, far))
    }
    assert len(verdicts) == 1


def test_a_canary_slower_than_the_margin_is_found_and_pauses_are_no_matter():
    rng = np.random.default_rng(7)
    pauses = np.where(rng.random(300) < 0.05, 20.0, 1.0)
    slower, equal = 1.5 * np.exp(rng.normal(0, 0.3, 300)), np.exp(rng.normal(0, 0.3, 300)) * pauses
    assert harm_of(histogram_of(slower)).low > 0.1
    assert harm_of(histogram_of(equal)).high <= 0.2


def test_edges_are_symmetric_in_log_ratio():
    assert [math.log1p(edge) for edge in EDGES] == pytest.approx([-math.log1p(edge) for edge in reversed(EDGES)])


def test_a_bin_holds_its_upper_edge_as_a_bucket_of_prometheus_does():
    assert EDGES[bin_of(canary_seconds=1.5, stable_seconds=1.0)] == 0.5


def test_a_slow_tail_is_a_paired_difference():
    histogram = histogram_of([1.0] * 80 + [2.5] * 15 + [0.4] * 5)
    counts = slower_pairs(histogram, edge=1.0)
    assert (counts.rows, counts.canary_only, counts.stable_only) == (100, 15, 5)


def test_the_edge_itself_is_slow_in_neither_direction():
    """2 × is not more than 2 ×, and ½ × not more than 2 × the other way round."""
    counts = slower_pairs(histogram_of([2.0, 0.5000001, 2.0000001, 0.4999999]), edge=1.0)
    assert (counts.canary_only, counts.stable_only) == (1, 1)


@pytest.mark.parametrize(
    ("counts", "verdict"),
    [
        pytest.param((0,) * (len(EDGES) + 1), Verdict.NO_DATA, id="no pairs"),
        pytest.param((1, 2, 3), Verdict.ERROR, id="another histogram"),
        pytest.param((-1,) * (len(EDGES) + 1), Verdict.ERROR, id="fewer than none"),
    ],
)
def test_counts_that_say_nothing_are_missing(counts, verdict):
    found = median_ratio(RatioHistogram(counts=counts), levels=LEVELS)
    assert isinstance(found, Missing)
    assert found.verdict is verdict
