"""The margin against the limits of harm, and the sentence."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuneloop_operator.decide.model_deployment.gates.evidence import Evidence, Levels, Missing, percent
from tuneloop_operator.decide.model_deployment.gates.judge import judged
from tuneloop_operator.decide.model_deployment.gates.looks import Look
from tuneloop_operator.decide.model_deployment.gates.paired import PairedCounts, paired_difference
from tuneloop_operator.decide.model_deployment.gates.verdict import Verdict

LEVELS = Levels(fail=0.05, promote=0.05)
END = Look(number=3, step=1, at_step_end=True, samples=100, levels=LEVELS)
EARLY = Look(number=1, step=1, at_step_end=False, samples=100, levels=LEVELS)


def evidence_of(low: float, high: float, *, sample: int = 100, can_fail: bool = True) -> Evidence:
    return Evidence(
        harm=(low + high) / 2,
        low=low,
        high=high,
        canary=0.1,
        sample=sample,
        facts="canary errors 10 %",
        can_fail=can_fail,
    )


def verdict_of(evidence: Evidence | Missing, *, look: Look = END, margin: float = 0.05) -> Verdict:
    return judged("errors", evidence, margin=margin, look=look).verdict


@pytest.mark.parametrize(
    ("low", "high", "at_end", "early"),
    [
        pytest.param(0.051, 0.2, Verdict.FAIL, Verdict.FAIL, id="harm is beyond the margin: at any look"),
        pytest.param(0.05, 0.2, Verdict.INCONCLUSIVE, Verdict.INCONCLUSIVE, id="harm may be the margin"),
        pytest.param(-0.1, 0.051, Verdict.INCONCLUSIVE, Verdict.INCONCLUSIVE, id="harm may exceed the margin"),
        pytest.param(-0.1, 0.05, Verdict.PASS, Verdict.INCONCLUSIVE, id="harm is within the margin: only at an end"),
    ],
)
def test_verdicts(low, high, at_end, early):
    assert (verdict_of(evidence_of(low, high)), verdict_of(evidence_of(low, high), look=EARLY)) == (at_end, early)


def test_too_little_to_prove_harm_never_fails():
    assert verdict_of(evidence_of(0.1, 0.2, can_fail=False)) is Verdict.INCONCLUSIVE


def test_fewer_samples_than_planned_are_no_data():
    result = judged("errors", evidence_of(-0.1, 0.0, sample=99), margin=0.05, look=END)
    assert (result.verdict, result.reason) == (Verdict.NO_DATA, "99 of the 100 observations that this look needs")


@given(st.sampled_from(["harm", "low", "high", "margin"]))
def test_a_number_that_is_none_is_never_good(place):
    numbers = {"harm": -1.0, "low": -1.0, "high": -1.0, "margin": 0.05, place: math.nan}
    margin = numbers.pop("margin")
    assert (
        verdict_of(Evidence(**numbers, canary=0.0, sample=100, facts="canary errors"), margin=margin) is Verdict.ERROR
    )


@pytest.mark.parametrize("verdict", [Verdict.NO_DATA, Verdict.ERROR])
def test_what_is_missing_keeps_its_verdict_and_reason(verdict):
    result = judged("errors", Missing(verdict=verdict, reason="canary had no requests"), margin=0.05, look=END)
    assert (result.verdict, result.reason, result.harm) == (verdict, "canary had no requests", None)


def test_the_sentence_has_all_numbers():
    counts = PairedCounts(rows=1_000, both_wrong=1, canary_only=11, stable_only=2)
    evidence = paired_difference("errors", counts, levels=LEVELS)
    result = judged("errors", evidence, margin=0.005, look=END)
    assert result.reason == (
        "canary errors 1.2 %, stable 0.3 % on the same 1000 rows (13 discordant): harm 0.9 % (0.25 to 1.6 %), margin 0.5 %"
    )


def test_an_interval_without_end_says_so():
    assert judged("latency", evidence_of(-1, math.inf), margin=0.1, look=END).reason.endswith(
        "(-100 to no limit), margin 10 %"
    )


@pytest.mark.parametrize(
    ("share", "text"),
    [(0, "0 %"), (0.00042, "0.042 %"), (0.0123, "1.2 %"), (0.1, "10 %"), (0.00999, "1 %"), (-0.025, "-2.5 %")],
)
def test_a_share_is_written_as_people_read_it(share, text):
    assert percent(share) == text
