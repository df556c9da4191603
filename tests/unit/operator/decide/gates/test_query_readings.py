"""From Prometheus' answers to what a gate with a query asks for."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from query_walks import BROKEN, EMPTY, GATE, STABLE, Walk, actions, answered

from tuneloop_operator.decide.gate_query import IN_A_ROW, Compare
from tuneloop_operator.decide.model_deployment.gates.limits import Limits
from tuneloop_operator.decide.model_deployment.gates.verdict import GateAction, Verdict
from tuneloop_operator.decide.model_deployment.query_readings import STALE

GOOD, BAD = 0.5, 2.0
COMPARED = replace(GATE, compare=Compare.STABLE)
PATIENT = replace(GATE, limits=Limits(no_data=None, error=None, inconclusive=1000))
VALUES = st.lists(st.sampled_from([GOOD, BAD, EMPTY, BROKEN]), max_size=12)


def pair(canary, stable, *, at):
    return (
        answered(canary, at=at, gate=COMPARED),
        answered(stable, at=at, gate=COMPARED, revision=STABLE),
    )


# numbers


def test_three_numbers_within_the_margin_pass_and_two_do_not():
    assert actions(Walk(), [GOOD, GOOD, GOOD]) == ["Hold", "Hold", "Advance"]


def test_three_numbers_beyond_the_margin_fail_and_two_do_not():
    assert actions(Walk(), [BAD, BAD, BAD]) == ["Hold", "Hold", "RollBack"]


def test_a_number_at_the_margin_is_within_it():
    assert actions(Walk(), [GATE.margin] * 3)[-1] == "Advance"


def test_a_pass_names_the_number_and_the_margin():
    found = Walk().read_each_minute(GOOD, GOOD, 0.25).summary
    assert (found.verdict, found.reason) == (Verdict.PASS, "0.25 is within the margin 1")


def test_a_failure_names_gate_number_and_margin():
    found = Walk().read_each_minute(BAD, BAD, 3.0).summary
    assert (found.verdict, found.reason) == (Verdict.FAIL, "gate truncated failed: 3 is more than the margin 1")


def test_one_spike_keeps_a_gate_from_passing_for_three_numbers_and_no_longer():
    found = actions(Walk(), [GOOD, GOOD, GOOD, BAD, GOOD, GOOD, GOOD])
    assert found == ["Hold", "Hold", "Advance", "Hold", "Hold", "Hold", "Advance"]


@given(before=st.integers(0, 20), after=st.integers(0, 20))
def test_one_spike_never_fails(before, after):
    assert "RollBack" not in actions(Walk(), [GOOD] * before + [BAD] + [GOOD] * after)


@given(VALUES)
def test_no_gate_fails_without_three_numbers_beyond_the_margin_one_after_another(values):
    numbers = [value for value in values if isinstance(value, float)]
    runs = [len(list(run)) for value, run in itertools.groupby(numbers) if value == BAD]
    assert ("RollBack" in actions(Walk(PATIENT), values)) == (max(runs, default=0) >= IN_A_ROW)


@given(VALUES)
def test_no_gate_advances_but_by_three_good_numbers_of_which_the_last_is_the_newest_answer(values):
    found = actions(Walk(), values)
    for length, action in enumerate(found, start=1):
        numbers = [value for value in values[:length] if isinstance(value, float)]
        assert action != "Advance" or (numbers[-IN_A_ROW:] == [GOOD] * IN_A_ROW and values[length - 1] == GOOD)


def test_what_has_failed_stays_failed():
    walk = Walk()
    failed = walk.read_each_minute(BAD, BAD, BAD)
    assert walk.read_each_minute(GOOD, GOOD, GOOD, GOOD, since=300) == failed


def test_each_step_asks_for_its_own_numbers():
    walk = Walk()
    walk.read_each_minute(GOOD, GOOD, GOOD)
    walk.next_step(began=200)
    assert walk.read_each_minute(GOOD, GOOD, since=260).summary.action is GateAction.HOLD
    assert walk.read_each_minute(GOOD, since=380).summary.action is GateAction.ADVANCE


def test_two_bad_numbers_of_one_step_and_one_of_the_next_are_no_failure():
    walk = Walk()
    walk.read_each_minute(BAD, BAD)
    walk.next_step(began=150)
    assert walk.read_each_minute(BAD, since=210).summary.action is GateAction.HOLD


# what counts


def test_the_same_answer_counts_once_however_often_it_is_read():
    walk = Walk()
    for second in range(60, 120, 10):
        found = walk.read(answered(BAD, at=60), at=second)
    assert found.memory.look == 1


def test_a_number_without_a_window_counts_once_a_minute():
    walk = Walk(replace(GATE, query='max(t{revision="{{revision}}"})'))
    looks = [walk.read(answered(BAD, at=at, gate=walk.gate), at=at).memory.look for at in (0, 30, 59, 60, 90, 119)]
    assert looks == [1, 1, 1, 2, 2, 2]


def test_numbers_that_share_samples_are_one_number():
    walk = Walk(replace(GATE, query='sum(rate(t{revision="{{revision}}"}[5m]))'))
    burst = [walk.read(answered(BAD, at=at, gate=walk.gate), at=at) for at in range(300, 870, 30)]
    assert {reading.summary.action for reading in burst} == {GateAction.HOLD}
    assert walk.read(answered(BAD, at=900, gate=walk.gate), at=900).summary.action is GateAction.ROLL_BACK


def test_a_number_of_a_window_that_began_before_the_step_does_not_count():
    walk = Walk(replace(GATE, query='sum(rate(t{revision="{{revision}}"}[5m]))'))
    found = walk.read(answered(GOOD, at=270, gate=walk.gate), at=270)
    assert found.memory.results == ()
    assert found.summary.reason.endswith("once the step is as old as the query looks back (300 s)")
    assert walk.read(answered(GOOD, at=300, gate=walk.gate), at=300).memory.look == 1


def test_what_has_passed_does_not_advance_while_the_newest_number_is_harm():
    walk = Walk()
    walk.read_each_minute(GOOD, GOOD, GOOD)
    found = walk.read(answered(BAD, at=210), at=210)
    assert (found.summary.verdict, found.summary.action) == (Verdict.INCONCLUSIVE, GateAction.HOLD)
    assert found.summary.reason == "2 is more than the margin 1, and not counted yet"


def test_what_has_passed_does_not_advance_while_there_is_no_number():
    walk = Walk()
    walk.read_each_minute(GOOD, GOOD)
    walk.read(answered(EMPTY, at=150), at=150)
    assert walk.read(answered(GOOD, at=180), at=180).summary.action is GateAction.ADVANCE
    found = walk.read(answered(EMPTY, at=200), at=200)
    assert (found.summary.verdict, found.summary.action) == (Verdict.NO_DATA, GateAction.HOLD)
    assert len(found.memory.results) == IN_A_ROW, "it is not counted yet"


def test_an_answer_asked_before_the_step_says_nothing():
    walk = Walk(began=100)  # its status says 99, in whole seconds
    found = walk.read(answered(GOOD, at=99.9), at=130).summary
    assert (found.verdict, found.action) == (Verdict.NO_DATA, GateAction.HOLD)
    assert found.reason == "Prometheus has not answered since the step began"


def test_an_old_answer_is_no_data():
    walk = Walk()
    walk.read_each_minute(GOOD, GOOD, GOOD)
    assert walk.read(answered(GOOD, at=180), at=180 + STALE).summary.action is GateAction.ADVANCE
    found = walk.read(answered(GOOD, at=180), at=181 + STALE).summary
    assert (found.verdict, found.action) == (Verdict.NO_DATA, GateAction.HOLD)
    assert found.reason == "the newest answer of Prometheus is 181 s old"


@settings(max_examples=30)
@given(VALUES, st.randoms(use_true_random=False))
def test_order_and_copies_of_answers_change_nothing(values, random):
    once, again = Walk(), Walk()
    asked = [answered(value, at=60.0 * minute) for minute, value in enumerate(values, start=1)]
    for number in range(1, len(asked) + 1):
        known = asked[:number]
        mixed = random.sample(known * 2, 2 * number)
        assert once.read(known[-1], at=60.0 * number) == again.read(*mixed, at=60.0 * number)


def test_answers_of_other_gates_and_revisions_say_nothing():
    others = [answered(BAD, at=60, revision=STABLE), answered(BAD, at=60, gate=replace(GATE, name="other"))]
    assert Walk().read(*others, at=60).summary.verdict is Verdict.NO_DATA


def test_a_query_that_was_not_accepted_is_an_error():
    walk = Walk(replace(GATE, query="rate(t[$__interval])"))
    found = walk.read(answered(GOOD, at=60, gate=walk.gate), at=60).summary
    assert (found.verdict, found.action) == (Verdict.ERROR, GateAction.HOLD)
    assert "[$__interval]" in found.reason


# beside stable


@pytest.mark.parametrize(
    ("canary", "stable", "action"), [(5.0, 4.5, "Advance"), (5.0, 3.5, "RollBack"), (0.5, 9.0, "Advance")]
)
def test_beside_stable_the_difference_is_held_against_the_margin(canary, stable, action):
    walk = Walk(COMPARED)
    for at in (60, 120, 180):
        found = walk.read(*pair(canary, stable, at=at), at=at)
    assert found.summary.action.value == action
    assert f"canary {canary:g}, stable {stable:g}" in found.summary.reason


def test_numbers_of_two_moments_are_not_compared():
    walk = Walk(COMPARED)
    apart = [answered(BAD, at=60, gate=COMPARED), answered(BAD, at=90, gate=COMPARED, revision=STABLE)]
    assert walk.read(*apart, at=90).summary.verdict is Verdict.NO_DATA


@pytest.mark.parametrize(("canary", "stable", "role"), [(BROKEN, GOOD, "canary"), (GOOD, BROKEN, "stable")])
def test_a_pair_without_one_of_its_numbers_says_whose_is_missing(canary, stable, role):
    found = Walk(COMPARED).read(*pair(canary, stable, at=60), at=60).summary
    assert (found.verdict, found.reason) == (Verdict.ERROR, f"{role}: no connection (Connection refused)")


def test_a_difference_that_no_number_holds_is_an_error():
    found = Walk(COMPARED).read(*pair(-1e308, 1e308, at=60), at=60).summary
    assert (found.verdict, found.reason) == (Verdict.ERROR, "-1e+308 - 1e+308 is no finite number")


def test_without_another_revision_there_is_nothing_to_compare_and_nothing_to_wait_for():
    walk = Walk(COMPARED)
    walk.stable = ""
    found = walk.read(answered(BAD, at=60, gate=COMPARED), at=60).summary
    assert (found.verdict, found.action) == (Verdict.NO_DATA, GateAction.ADVANCE)


# limits


@pytest.mark.parametrize(
    ("answer", "word"),
    [(EMPTY, "no data 5 times in a row (noDataLimit 5)"), (BROKEN, "an error 5 times in a row (errorLimit 5)")],
)
def test_at_its_limit_a_gate_without_numbers_gives_up(answer, word):
    walk = Walk()
    assert actions(walk, [answer] * 5) == ["Hold"] * 4 + ["GiveUp"]
    assert f"gate truncated had {word}" in walk.read(at=360).summary.reason


def test_no_answer_at_all_is_no_data_from_the_begin_of_the_step():
    walk = Walk()
    assert [walk.read(at=60 * minute).summary.action.value for minute in range(1, 6)] == ["Hold"] * 4 + ["GiveUp"]


def test_missing_numbers_count_once_a_minute_however_often_they_are_read():
    walk = Walk()
    for second in range(60, 295, 5):
        found = walk.read(answered(BROKEN, at=second), at=second)
    assert found.summary.action is GateAction.HOLD


def test_a_number_between_ends_the_row_of_missing_ones():
    assert "GiveUp" not in actions(Walk(), [BROKEN, BROKEN, BROKEN, BROKEN, GOOD] * 2)


def test_no_data_and_errors_are_rows_of_their_own():
    assert "GiveUp" not in actions(Walk(), [BROKEN, EMPTY] * 20)


def test_missing_numbers_neither_add_to_a_row_of_harm_nor_end_it():
    assert actions(Walk(), [BAD, BROKEN, BAD, EMPTY, BAD]) == ["Hold"] * 4 + ["RollBack"]


def test_a_gate_that_decides_nothing_gives_up_at_its_limit():
    walk = Walk()
    found = actions(walk, [GOOD, BAD] * 5)
    assert found[:8] == ["Hold"] * 8
    assert found[8] == "GiveUp"
    assert "gate truncated decided nothing by 9 numbers (inconclusiveLimit 3)" in walk.read(at=700).summary.reason


def test_a_pass_begins_the_count_of_undecided_numbers_anew():
    assert "GiveUp" not in actions(Walk(), [GOOD, GOOD, GOOD, BAD, GOOD] * 12)


@given(VALUES, st.booleans())
def test_what_is_remembered_has_a_bound(values, is_baking):
    walk = Walk(is_baking=is_baking)
    actions(walk, values * 4)
    assert walk.memory is None or len(walk.memory.results) <= IN_A_ROW + 5


def test_an_outage_while_baking_is_not_remembered():
    walk = Walk(is_baking=True)
    actions(walk, [BROKEN] * 100)
    assert walk.memory.results == ()


# on trial, and while baking


@given(VALUES)
def test_a_gate_on_trial_asks_for_nothing_and_says_what_it_found(values):
    walk = Walk(replace(GATE, dry_run=True))
    assert set(actions(walk, values)) <= {"Advance"}
    assert (
        Walk(replace(GATE, dry_run=True))
        .read_each_minute(BAD, BAD, BAD)
        .summary.reason.startswith("on trial: gate truncated failed")
    )


@given(VALUES)
def test_while_baking_a_gate_may_only_roll_back(values):
    assert "GiveUp" not in actions(Walk(is_baking=True), values * 3)


def test_while_baking_harm_is_seen_after_prometheus_was_away():
    assert actions(Walk(is_baking=True), [BROKEN] * 30 + [BAD] * 3)[-1] == "RollBack"
