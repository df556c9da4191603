"""From the results of a step to an action."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuneloop_operator.decide.model_deployment.gates.limits import Limits, outcome_of
from tuneloop_operator.decide.model_deployment.gates.verdict import GateAction, GateResult, Verdict

WORDS = {
    "P": Verdict.PASS,
    "F": Verdict.FAIL,
    "I": Verdict.INCONCLUSIVE,
    "i": Verdict.INCONCLUSIVE,
    "N": Verdict.NO_DATA,
    "E": Verdict.ERROR,
}
"""A letter a look; "i" is Inconclusive at an early look."""
LIMITS = Limits(no_data=3, inconclusive=2, error=2)


def results(gate: str, letters: str) -> list[GateResult]:
    return [
        GateResult(
            gate=gate,
            verdict=WORDS[letter],
            margin=0.01,
            look=number,
            at_step_end=letter != "i",
            reason=f"{gate} says {letter}",
        )
        for number, letter in enumerate(letters, start=1)
    ]


def in_turns(**letters: str) -> list[GateResult]:
    return sorted(
        (result for gate, word in letters.items() for result in results(gate, word)), key=lambda result: result.look
    )


@pytest.mark.parametrize(
    ("letters", "action"),
    [
        pytest.param("", GateAction.HOLD, id="no look yet"),
        pytest.param("P", GateAction.ADVANCE, id="passed"),
        pytest.param("iiI", GateAction.HOLD, id="early looks do not count"),
        pytest.param("IP", GateAction.ADVANCE, id="passed at a further end"),
        pytest.param("II", GateAction.GIVE_UP, id="inconclusive as often as allowed"),
        pytest.param("INI", GateAction.GIVE_UP, id="inconclusive counts in all, not in a row"),
        pytest.param("IIP", GateAction.GIVE_UP, id="what was given up stays given up"),
        pytest.param("NN", GateAction.HOLD, id="no data, not too often"),
        pytest.param("NNN", GateAction.GIVE_UP, id="no data as often as allowed"),
        pytest.param("NNiNN", GateAction.HOLD, id="no data counts in a row"),
        pytest.param("EE", GateAction.GIVE_UP, id="errors as often as allowed"),
        pytest.param("ENEN", GateAction.HOLD, id="errors count in a row"),
        pytest.param("F", GateAction.ROLL_BACK, id="failed"),
        pytest.param("PF", GateAction.ROLL_BACK, id="failed after it had passed"),
        pytest.param("PEEEE", GateAction.ADVANCE, id="passed, and no longer asked"),
    ],
)
def test_one_gate(letters, action):
    assert outcome_of(results("errors", letters), {"errors": LIMITS}).action is action


@pytest.mark.parametrize(
    ("errors", "latency", "action"),
    [
        pytest.param("P", "", GateAction.HOLD, id="all must pass"),
        pytest.param("P", "P", GateAction.ADVANCE, id="all have passed"),
        pytest.param("PI", "IP", GateAction.ADVANCE, id="each passes at its own end"),
        pytest.param("P", "F", GateAction.ROLL_BACK, id="the other fails"),
        pytest.param("II", "IF", GateAction.ROLL_BACK, id="at one look a Fail counts before all else"),
        pytest.param("II", "PPF", GateAction.GIVE_UP, id="a Fail after the end is too late"),
    ],
)
def test_two_gates(errors, latency, action):
    assert outcome_of(in_turns(errors=errors, latency=latency), {"errors": LIMITS, "latency": LIMITS}).action is action


def test_a_gate_that_is_not_named_only_informs():
    assert outcome_of(in_turns(errors="P", tried="F"), {"errors": LIMITS}).action is GateAction.ADVANCE


def test_without_a_limit_thin_traffic_only_holds():
    assert outcome_of(results("errors", "N" * 1_000), {"errors": Limits(no_data=None)}).action is GateAction.HOLD


@pytest.mark.parametrize(
    ("letters", "reason"),
    [
        ("F", "gate errors failed: errors says F"),
        ("II", "gate errors was inconclusive at 2 ends of the step (inconclusiveLimit 2): errors says I"),
        ("NNN", "gate errors had no data 3 times in a row (noDataLimit 3): errors says N"),
        ("EE", "gate errors had an error 2 times in a row (errorLimit 2): errors says E"),
        ("N", "gate errors is at NoData: errors says N"),
        ("", "gate errors has not looked yet"),
        ("P", "every gate passed"),
    ],
)
def test_reasons(letters, reason):
    assert outcome_of(results("errors", letters), {"errors": LIMITS}).reason == reason


@given(st.text("FIiNEP", max_size=30), st.text("IiNE", max_size=30))
def test_nothing_advances_without_a_pass_of_every_gate(errors, latency):
    assert (
        outcome_of(in_turns(errors=errors, latency=latency), {"errors": LIMITS, "latency": LIMITS}).action
        is not GateAction.ADVANCE
    )


@given(st.text("IiNEP", max_size=30))
def test_nothing_rolls_back_without_a_fail(letters):
    assert outcome_of(results("errors", letters), {"errors": LIMITS}).action is not GateAction.ROLL_BACK
