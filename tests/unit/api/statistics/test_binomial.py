"""Exact tails and limits against scipy's."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from tuneloop_api.statistics.binomial import lower_limit, tail_at_least, upper_limit

COUNTS = st.integers(1, 20_000).flatmap(lambda trials: st.tuples(st.integers(0, trials), st.just(trials)))
LEVELS = st.sampled_from([0.05, 0.0167, 0.0033])


@given(COUNTS, st.floats(1e-6, 1 - 1e-6))
def test_a_tail_is_that_of_scipy(counts, share):
    events, trials = counts
    assert tail_at_least(events, trials, share) == pytest.approx(
        stats.binom.sf(events - 1, trials, share), rel=1e-7, abs=1e-12
    )


@given(COUNTS, LEVELS)
def test_limits_are_those_of_clopper_and_pearson(counts, level):
    events, trials = counts
    exact = stats.binomtest(events, trials)
    interval = exact.proportion_ci(confidence_level=1 - 2 * level, method="exact")
    assert (lower_limit(events, trials, level), upper_limit(events, trials, level)) == pytest.approx(
        (interval.low, interval.high), rel=1e-6, abs=1e-12
    )


def test_a_million_requests_have_limits():
    assert lower_limit(5_000, 1_000_000, 0.003) == pytest.approx(stats.beta.ppf(0.003, 5_000, 995_001), rel=1e-7)


@pytest.mark.parametrize(("events", "share", "tail"), [(0, 0.5, 1.0), (11, 0.5, 0.0), (1, 0.0, 0.0), (10, 1.0, 1.0)])
def test_a_tail_without_doubt_is_certain(events, share, tail):
    assert tail_at_least(events, 10, share) == tail
