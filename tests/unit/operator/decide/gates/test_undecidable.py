"""Which `minRequests` are refused before a roll-out, and what the sentence says."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tuneloop_operator.decide.model_deployment.gates.gate_spec import GateSpec, Metric
from tuneloop_operator.decide.model_deployment.gates.limits import Limits
from tuneloop_operator.decide.model_deployment.gates.undecidable import StepSize, power_in_a_step, requests_to_catch
from tuneloop_operator.decide.model_deployment.gates.undecidable import undecidable as found_undecidable

ERRORS = GateSpec(name="errors", metric=Metric.ERRORS, margin=0.01)
LATENCY = GateSpec(name="latency", metric=Metric.LATENCY, margin=0.1)
AGREEMENT = GateSpec(name="agreement", metric=Metric.AGREEMENT, margin=0.05)


def undecidable(gates: list[GateSpec], sizes: list[StepSize]) -> tuple[str, ...]:
    """Return what acceptance says of each step and gate."""
    return tuple(
        f"{found.field}: found {found.given}; {found.why}; for example {found.example}"
        for found in found_undecidable(gates, sizes)
    )


def steps(*requests: int) -> list[StepSize]:
    return [
        StepSize(field=f"spec.rollout.steps[{place}].minRequests", requests=number)
        for place, number in enumerate(requests)
    ]


@pytest.mark.parametrize("gate", [ERRORS, LATENCY, AGREEMENT], ids=lambda gate: gate.name)
def test_enough_requests_are_not_refused(gate: GateSpec) -> None:
    assert undecidable([gate], steps(1000, 1000, 1000)) == ()


@pytest.mark.parametrize("gate", [ERRORS, LATENCY, AGREEMENT], ids=lambda gate: gate.name)
def test_a_handful_of_requests_is_refused_by_field_value_what_is_enough_and_an_example(gate: GateSpec) -> None:
    (sentence,) = undecidable([gate], steps(5))
    assert sentence.startswith(f"spec.rollout.steps[0].minRequests: found 5; it cannot decide gate {gate.name}")
    assert re.search(r"at least \d+ is needed, and \d+ decides at the first end; for example \d+$", sentence)


@pytest.mark.parametrize("gate", [ERRORS, LATENCY, AGREEMENT], ids=lambda gate: gate.name)
def test_what_the_sentence_names_is_enough_and_much_less_is_not(gate: GateSpec) -> None:
    (sentence,) = undecidable([gate], steps(5))
    least, at_once, example = map(int, re.findall(r"at least (\d+) .*?and (\d+) .*for example (\d+)", sentence)[0])
    assert undecidable([gate], steps(least)) == ()
    assert undecidable([gate], steps(at_once)) == ()
    assert undecidable([gate], steps(example)) == ()
    assert undecidable([gate], steps(int(0.9 * least) - 1))
    assert least <= at_once <= example


def test_each_step_must_decide_by_itself() -> None:
    (sentence,) = undecidable([ERRORS], steps(2000, 50, 2000))
    assert sentence.startswith("spec.rollout.steps[1].minRequests: found 50;")


def test_each_of_more_steps_must_pass_an_equal_model_more_often() -> None:
    (one,) = undecidable([ERRORS], steps(5))
    three = undecidable([ERRORS], steps(5, 5, 5))
    numbers = [int(re.findall(r"at least (\d+)", sentence)[0]) for sentence in (one, *three)]
    assert numbers[1] == numbers[2] == numbers[3] > numbers[0]


def test_more_ends_let_a_step_gather_more() -> None:
    impatient = replace(ERRORS, limits=Limits(inconclusive=1))
    assert undecidable([impatient], steps(400))
    assert undecidable([ERRORS], steps(400)) == ()


def test_a_margin_that_no_number_decides_says_so() -> None:
    (sentence,) = undecidable([replace(LATENCY, margin=0.0)], steps(1000))
    assert sentence.endswith("and no number can: set a wider margin; for example margin: 0.01")


def test_a_latency_margin_between_two_edges_is_as_hard_as_the_one_below() -> None:
    between = undecidable([replace(LATENCY, margin=0.019)], steps(5))
    below = undecidable([replace(LATENCY, margin=0.01)], steps(5))
    numbers = [re.findall(r"at least (\d+)", sentence) for (sentence,) in (between, below)]
    assert numbers[0] == numbers[1]


def test_a_default_that_cannot_decide_is_called_one() -> None:
    sizes = [StepSize(field="spec.rollout.steps[0].minRequests", requests=5, is_default=True)]
    (sentence,) = undecidable([ERRORS], sizes)
    assert sentence.startswith("spec.rollout.steps[0].minRequests: found 5, the default; it cannot decide")


def test_gates_on_trial_and_those_of_the_golden_set_are_let_be() -> None:
    gates = [
        replace(ERRORS, dry_run=True),
        GateSpec(name="accuracy", metric=Metric.GOLDEN_ACCURACY, margin=0.03),
        GateSpec(name="calibration", metric=Metric.CALIBRATION, margin=0.03),
        GateSpec(name="quality", metric=Metric.GENERATION_QUALITY, margin=0.03),
    ]
    assert undecidable(gates, steps(1)) == ()


def test_without_gates_or_steps_nothing_is_refused() -> None:
    assert undecidable([], steps(1)) == ()
    assert undecidable([ERRORS], []) == ()


@settings(max_examples=25, deadline=None)
@given(requests=st.lists(st.integers(1, 1500), min_size=1, max_size=4), more=st.integers(1, 3))
def test_more_requests_are_never_refused_where_fewer_are_not(requests: list[int], more: int) -> None:
    before = len(undecidable([LATENCY], steps(*requests)))
    after = len(undecidable([LATENCY], steps(*(number * 4**more for number in requests))))
    assert after <= before


@pytest.mark.parametrize("gate", [ERRORS, LATENCY, AGREEMENT], ids=lambda gate: gate.name)
def test_the_requests_that_catch_a_bad_model_do_and_half_of_them_do_not(gate: GateSpec) -> None:
    enough = requests_to_catch(gate, steps=3)
    assert enough is not None
    assert power_in_a_step(gate, enough, steps=3).fails_worse >= 0.8
    assert power_in_a_step(gate, enough // 2, steps=3).fails_worse < 0.8


@pytest.mark.parametrize(("requests", "catches"), [(500, False), (1000, True)])
def test_a_step_that_holds_a_bad_model_oftener_than_it_fails_it_does_not_catch(requests: int, catches: bool) -> None:
    power = power_in_a_step(ERRORS, requests, steps=3)
    assert power.catches is catches
    assert power.fails_worse_at_last == power_in_a_step(ERRORS, 3 * requests, steps=3).fails_worse
