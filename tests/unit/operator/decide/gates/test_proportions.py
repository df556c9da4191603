"""Shares of requests: the limits of their difference, and how often these are wrong."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from tuneloop_operator.decide.model_deployment.gates.evidence import Evidence, Levels, Missing
from tuneloop_operator.decide.model_deployment.gates.proportions import Share, against_bound, difference
from tuneloop_operator.decide.model_deployment.gates.verdict import Verdict

SHARES = st.integers(1, 5_000).flatmap(
    lambda trials: st.builds(Share, events=st.integers(0, trials), trials=st.just(trials))
)
LEVELS = Levels(fail=0.0033, promote=0.0167)


def harm_of(canary: Share, stable: Share, levels: Levels = LEVELS) -> Evidence:
    evidence = difference("errors", canary=canary, stable=stable, levels=levels)
    assert isinstance(evidence, Evidence)
    return evidence


@given(SHARES, SHARES)
def test_limits_join_scipys_exact_limits(canary, stable):
    def limits(share, level):
        misses = share.trials - share.events
        low = stats.beta.ppf(level, share.events, misses + 1) if share.events else 0.0
        return low, stats.beta.ppf(1 - level, share.events + 1, misses) if misses else 1.0

    p, q, evidence = canary.value, stable.value, harm_of(canary, stable)
    low = p - q - math.hypot(p - limits(canary, LEVELS.fail)[0], limits(stable, LEVELS.fail)[1] - q)
    high = p - q + math.hypot(limits(canary, LEVELS.promote)[1] - p, q - limits(stable, LEVELS.promote)[0])
    assert (evidence.low, evidence.high) == pytest.approx((low, high), abs=1e-7)


def test_at_large_counts_the_limits_are_nearly_those_of_newcombes_example():
    """Newcombe 1998, table II, 56 of 70 against 48 of 80: 0.0524 to 0.3339; ours are exact, so a little wider."""
    evidence = harm_of(Share(events=56, trials=70), Share(events=48, trials=80), Levels(fail=0.025, promote=0.025))
    assert 0.035 < evidence.low < 0.0524
    assert 0.3339 < evidence.high < 0.35


@given(SHARES, SHARES)
def test_limits_enclose_the_estimate(canary, stable):
    evidence = harm_of(canary, stable)
    assert evidence.low <= evidence.harm <= evidence.high


@given(SHARES, SHARES)
def test_one_more_error_of_the_canary_moves_both_limits_up(canary, stable):
    if canary.events < canary.trials:
        worse = harm_of(Share(events=canary.events + 1, trials=canary.trials), stable)
        evidence = harm_of(canary, stable)
        assert worse.low >= evidence.low - 1e-9
        assert worse.high >= evidence.high - 1e-9


@pytest.mark.parametrize(
    ("canary_trials", "stable_trials", "base", "margin"),
    [
        pytest.param(200, 3_800, 0.003, 0.01, id="few requests, rare errors"),
        pytest.param(400, 1_200, 0.01, 0.01, id="a step of 25 %"),
        pytest.param(200, 200, 0.05, 0.02, id="equal groups"),
    ],
)
@pytest.mark.parametrize("level", [0.05, pytest.param(0.0033, marks=pytest.mark.full)])
def test_a_verdict_at_the_margin_is_wrong_no_more_often_than_its_level(
    canary_trials, stable_trials, base, margin, level
):
    """Summed over all counts of probability: the truth lies exactly at the margin."""
    fails = passes = 0.0
    for worse in likely(canary_trials, base + margin):
        for events in likely(stable_trials, base):
            chance = stats.binom.pmf(worse, canary_trials, base + margin) * stats.binom.pmf(events, stable_trials, base)
            levels = Levels(fail=level, promote=level)
            evidence = harm_of(
                Share(events=worse, trials=canary_trials), Share(events=events, trials=stable_trials), levels
            )
            fails += chance * (evidence.low > margin)
            passes += chance * (evidence.high <= margin)
    assert max(fails, passes) <= level


def likely(trials: int, share: float) -> range:
    return range(int(stats.binom.ppf(1e-5, trials, share)), int(stats.binom.ppf(1 - 1e-5, trials, share)) + 1)


def test_a_bound_is_compared_with_the_canary_alone():
    evidence = against_bound("disagreements", canary=Share(events=3, trials=1_000), levels=LEVELS)
    assert isinstance(evidence, Evidence)
    assert evidence.stable is None
    assert evidence.high == pytest.approx(stats.beta.ppf(1 - LEVELS.promote, 4, 997))


@pytest.mark.parametrize(
    ("canary", "stable", "verdict"),
    [
        pytest.param(
            Share(events=0, trials=0), Share(events=0, trials=9), Verdict.NO_DATA, id="canary without requests"
        ),
        pytest.param(
            Share(events=0, trials=9), Share(events=0, trials=0), Verdict.NO_DATA, id="stable without requests"
        ),
        pytest.param(
            Share(events=10, trials=9), Share(events=0, trials=9), Verdict.ERROR, id="more errors than requests"
        ),
        pytest.param(Share(events=1, trials=9), Share(events=-1, trials=9), Verdict.ERROR, id="fewer than none"),
    ],
)
def test_counts_that_say_nothing_are_missing(canary, stable, verdict):
    found = difference("errors", canary=canary, stable=stable, levels=LEVELS)
    assert isinstance(found, Missing)
    assert found.verdict is verdict
