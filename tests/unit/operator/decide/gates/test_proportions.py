"""A share of requests against a bound."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from tuneloop_operator.decide.model_deployment.gates.evidence import Evidence, Levels, Missing
from tuneloop_operator.decide.model_deployment.gates.proportions import Share, against_bound
from tuneloop_operator.decide.model_deployment.gates.verdict import Verdict

SHARES = st.integers(1, 5_000).flatmap(
    lambda trials: st.builds(Share, events=st.integers(0, trials), trials=st.just(trials))
)
LEVELS = Levels(fail=0.0033, promote=0.0167)


@given(SHARES)
def test_limits_are_scipys_exact_limits(share):
    evidence, misses = against_bound("disagreements", canary=share, levels=LEVELS), share.trials - share.events
    assert isinstance(evidence, Evidence)
    low = stats.beta.ppf(LEVELS.fail, share.events, misses + 1) if share.events else 0.0
    high = stats.beta.ppf(1 - LEVELS.promote, share.events + 1, misses) if misses else 1.0
    assert (evidence.low, evidence.high) == pytest.approx((low, high), abs=1e-7)
    assert evidence.low <= evidence.harm <= evidence.high
    assert evidence.stable is None


@pytest.mark.parametrize(
    ("canary", "verdict"),
    [
        pytest.param(Share(events=0, trials=0), Verdict.NO_DATA, id="no requests"),
        pytest.param(Share(events=10, trials=9), Verdict.ERROR, id="more events than requests"),
        pytest.param(Share(events=-1, trials=9), Verdict.ERROR, id="fewer than none"),
    ],
)
def test_counts_that_say_nothing_are_missing(canary, verdict):
    found = against_bound("disagreements", canary=canary, levels=LEVELS)
    assert isinstance(found, Missing)
    assert found.verdict is verdict
