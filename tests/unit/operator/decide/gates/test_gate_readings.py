"""From the comparator's counts to what gates ask for: one step, one pair, read again and again."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from comparator_counts import STARTED, counts, live_counts, ratios
from gate_walks import (
    AGREEMENT,
    ANOTHER_START,
    BEGAN,
    ERRORS,
    LATENCY,
    LIVE,
    PLAN,
    Walk,
    bad,
    good,
    ids,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from tuneloop_api.contract.comparison import ComparisonCounts, PairCounts
from tuneloop_operator.decide.model_deployment.gate_readings import gate_results
from tuneloop_operator.decide.model_deployment.gates.evidence import Missing
from tuneloop_operator.decide.model_deployment.gates.gate_memory import COUNTED_EVERY
from tuneloop_operator.decide.model_deployment.gates.gate_spec import GateSpec
from tuneloop_operator.decide.model_deployment.gates.limits import Limits
from tuneloop_operator.decide.model_deployment.gates.verdict import GateAction, Verdict


@pytest.mark.parametrize("gate", LIVE, ids=ids)
def test_an_equal_canary_advances_at_the_end_of_the_step_and_not_before(gate: GateSpec) -> None:
    walk = Walk(gate)
    assert walk.read_all(good(999)).summary.action is GateAction.HOLD
    found = walk.read(good(1000)).summary
    assert (found.verdict, found.action) == (Verdict.PASS, GateAction.ADVANCE)
    assert "margin" in found.reason


@pytest.mark.parametrize("gate", LIVE, ids=ids)
def test_a_far_worse_canary_is_rolled_back_at_the_first_early_look(gate: GateSpec) -> None:
    walk = Walk(gate)
    assert walk.read(bad(gate, 249)).summary.action is GateAction.HOLD
    found = walk.read(bad(gate, 250)).summary
    assert (found.verdict, found.action) == (Verdict.FAIL, GateAction.ROLL_BACK)
    assert found.reason.startswith("canary")


def test_what_has_failed_stays_failed_whatever_comes_later() -> None:
    walk = Walk(ERRORS)
    failed = walk.read(bad(ERRORS, 250))
    assert walk.read(good(100_000)) == failed
    assert walk.read(None, after=3600) == failed


def test_before_the_first_look_a_gate_says_how_far_it_is() -> None:
    found = Walk(ERRORS).read(good(120)).summary
    assert (found.verdict, found.action) == (Verdict.NO_DATA, GateAction.HOLD)
    assert found.reason == "120 of 250 requests for the next look"


def test_between_looks_a_gate_shows_the_last_one_and_says_how_far_the_next_is() -> None:
    walk = Walk(ERRORS)
    walk.read(good(250))
    found = walk.read(good(300)).summary
    assert found.verdict is Verdict.INCONCLUSIVE
    assert found.reason.endswith("; 300 of 500 requests for the next look")


def test_one_reading_takes_one_look() -> None:
    walk = Walk(ERRORS)
    assert [walk.read(good(5000)).memory.look for _ in range(4)] == [1, 2, 3, 4]


def test_to_read_the_same_counts_again_takes_no_look() -> None:
    walk = Walk(ERRORS)
    first = walk.read(good(250)).memory
    assert walk.read(good(250)).memory == first
    assert walk.read(good(499)).memory == first


def test_requests_that_both_refuse_and_pairs_without_room_or_server_are_no_evidence() -> None:
    found = Walk(ERRORS).read(live_counts(100, refused=900, overloaded=900, away=100)).summary
    assert found.reason == "100 of 250 requests for the next look"


def test_a_canary_that_is_mostly_not_there_gives_no_data_and_up_at_the_limit() -> None:
    walk = Walk(ERRORS, replace(PLAN, now=BEGAN))
    found = [walk.read(live_counts(10, away=90), after=COUNTED_EVERY).summary for _ in range(5)]
    assert [summary.verdict for summary in found] == [Verdict.NO_DATA] * 5
    assert [summary.action for summary in found] == [GateAction.HOLD] * 4 + [GateAction.GIVE_UP]
    assert found[0].reason.startswith("a revision was not there for 90 of 100 requests")


def test_a_canary_that_was_away_for_a_while_is_judged_by_what_it_answers() -> None:
    walk = Walk(ERRORS, replace(PLAN, now=BEGAN))
    assert walk.read(live_counts(10, away=90), after=COUNTED_EVERY).summary.verdict is Verdict.NO_DATA
    assert walk.read(live_counts(1000, away=90)).summary.reason.startswith("canary errors 0 %")


def test_errors_that_both_make_are_no_harm() -> None:
    walk = Walk(ERRORS)
    assert walk.read_all(live_counts(1000, both_failed=400)).summary.action is GateAction.ADVANCE


# what is not there


def test_a_comparator_that_does_not_answer_yet_is_no_data_and_holds() -> None:
    found = Walk(ERRORS).read(None).summary
    assert (found.verdict, found.action) == (Verdict.NO_DATA, GateAction.HOLD)
    assert found.reason == "the comparator does not answer yet"


@pytest.mark.parametrize(
    "field", [{"canary": "9900"}, {"stable": "9900"}, {"deployment": "others"}], ids=lambda field: next(iter(field))
)
def test_counts_of_another_pair_are_no_data_however_bad_they_are(field: dict[str, str]) -> None:
    found = Walk(ERRORS).read(bad(ERRORS, 1000).model_copy(update=field)).summary
    assert (found.verdict, found.action) == (Verdict.NO_DATA, GateAction.HOLD)
    assert "9900" in found.reason or "others" in found.reason


def test_no_data_counts_once_a_minute_and_gives_up_at_its_limit() -> None:
    walk = Walk(ERRORS, replace(PLAN, now=BEGAN))
    actions = [walk.read(None, after=COUNTED_EVERY / 4).summary.action for _ in range(20)]
    assert actions == [GateAction.HOLD] * 19 + [GateAction.GIVE_UP]


def test_no_data_without_a_limit_waits_and_keeps_nothing() -> None:
    walk = Walk(replace(ERRORS, limits=Limits(no_data=None)))
    reading = [walk.read(None, after=3600) for _ in range(20)][-1]
    assert (reading.summary.action, reading.memory.results) == (GateAction.HOLD, ())


def test_a_few_copies_in_between_begin_the_count_of_no_data_anew() -> None:
    walk = Walk(ERRORS)
    for _ in range(10):
        for _ in range(4):
            assert walk.read(None, after=COUNTED_EVERY).summary.action is GateAction.HOLD
        assert walk.read(good(3), after=COUNTED_EVERY).summary.action is GateAction.HOLD


def test_an_error_has_a_limit_of_its_own() -> None:
    walk = Walk(replace(ERRORS, limits=Limits(no_data=50, error=2)))
    broken = Missing(verdict=Verdict.ERROR, reason="the comparator's counts cannot be read: live: a number")
    assert [walk.read(broken, after=COUNTED_EVERY).summary.action for _ in range(2)] == [
        GateAction.HOLD,
        GateAction.GIVE_UP,
    ]


@pytest.mark.parametrize(
    ("gate", "live"),
    [
        pytest.param(ERRORS, PairCounts(agree=300, canary_failed=-5), id="negative errors"),
        pytest.param(AGREEMENT, PairCounts(agree=-300, disagree=5), id="negative agreement"),
        pytest.param(LATENCY, PairCounts(agree=300, latency_ratios=[300]), id="other bins"),
        pytest.param(LATENCY, PairCounts(agree=300, latency_ratios=[-1, *ratios(at_0=300)[1:]]), id="a negative bin"),
    ],
)
def test_counts_that_cannot_be_are_an_error_and_never_pass(gate: GateSpec, live: PairCounts) -> None:
    found = Walk(gate).read(counts(live=live)).summary
    assert (found.verdict, found.action) == (Verdict.ERROR, GateAction.HOLD)


def test_too_many_inconclusive_ends_give_up() -> None:
    walk = Walk(ERRORS)
    at_margin = [live_counts(rows, canary_failed=rows // 100) for rows in (250, 500, 1000, 2000, 3000)]
    actions = [walk.read(found).summary.action for found in at_margin]
    assert actions == [GateAction.HOLD] * 4 + [GateAction.GIVE_UP]


# a gate on trial


@pytest.mark.parametrize("found", [None, bad(ERRORS, 250), good(250)], ids=["no data", "fail", "early"])
def test_a_gate_on_trial_asks_for_nothing_and_shows_what_it_found(found: ComparisonCounts | None) -> None:
    real, trial = Walk(ERRORS).read(found).summary, Walk(replace(ERRORS, dry_run=True)).read(found).summary
    assert trial.action is GateAction.ADVANCE
    assert (trial.verdict, trial.reason) == (real.verdict, f"on trial: {real.reason}")


# steps, and counts that begin anew


def after_the_first_step(gate: GateSpec = ERRORS) -> Walk:
    walk = Walk(gate)
    assert walk.read_all(good(1000)).summary.action is GateAction.ADVANCE
    return walk


def test_another_step_asks_for_its_own_requests() -> None:
    walk = after_the_first_step()
    walk.read(good(1000), step=2, step_began=BEGAN + timedelta(hours=1))
    assert walk.read_all(good(1999)).summary.action is GateAction.HOLD
    found = walk.read(good(2000)).summary
    assert found.action is GateAction.ADVANCE
    assert "the same 1000 rows" in found.reason


@pytest.mark.parametrize("gate", LIVE, ids=ids)
def test_a_canary_that_is_bad_in_the_second_step_alone_is_rolled_back_there(gate: GateSpec) -> None:
    walk = after_the_first_step(gate)
    first, worse = good(1000).live, bad(gate, 250).live
    walk.read(good(1000), step=2, step_began=BEGAN + timedelta(hours=1))
    both = PairCounts(
        agree=first.agree + worse.agree,
        disagree=worse.disagree,
        canary_failed=worse.canary_failed,
        latency_ratios=[a + b for a, b in zip(first.latency_ratios, worse.latency_ratios or ratios(), strict=True)],
    )
    reading = walk.read(counts(live=both))
    assert reading.summary.action is GateAction.ROLL_BACK
    assert reading.memory.results[-1].sample == 250


def test_counts_that_began_anew_are_the_evidence_that_is_there() -> None:
    walk = after_the_first_step()
    walk.read(good(1000), step=2, step_began=BEGAN + timedelta(minutes=30))
    walk.read(good(1240))
    found = walk.read(good(240, started_at=ANOTHER_START))
    assert (found.summary.action, found.memory.look) == (GateAction.HOLD, 5 - 2)
    assert walk.read(good(250, started_at=ANOTHER_START)).memory.results[-1].sample == 250


def test_counts_that_began_within_the_step_are_all_of_the_step() -> None:
    walk = after_the_first_step()
    found = walk.read(good(250, started_at=ANOTHER_START), step=2, step_began=BEGAN + timedelta(minutes=30))
    assert found.memory.results[-1].sample == 250


def test_what_was_counted_before_the_first_step_counts_in_it() -> None:
    walk = Walk(ERRORS, replace(PLAN, step_began=BEGAN + timedelta(minutes=10)))
    assert walk.read(good(250)).memory.results[-1].sample == 250


def test_a_canary_that_is_offered_again_is_judged_by_what_is_counted_from_then_on() -> None:
    """The comparator is the same process: what it counted before let the gate give up."""
    again = BEGAN + timedelta(hours=1)
    walk = Walk(ERRORS, replace(PLAN, rollout_began=again, step_began=again, now=again))
    walk.read(bad(ERRORS, 250))
    assert walk.memory is not None
    assert walk.memory.results == ()
    assert walk.read(bad(ERRORS, 500)).summary.action is GateAction.ROLL_BACK


def test_of_long_words_of_a_comparator_little_is_kept() -> None:
    walk = Walk(ERRORS)
    reading = walk.read(Missing(verdict=Verdict.ERROR, reason="x" * 100_000), after=COUNTED_EVERY)
    assert [len(result.reason) for result in reading.memory.results] == [300]


def test_a_single_no_data_between_errors_is_kept_no_longer_than_it_counts() -> None:
    walk = Walk(ERRORS)
    unreadable = Missing(verdict=Verdict.ERROR, reason="no counts")
    for _ in range(20):
        walk.read(None, after=COUNTED_EVERY)
        reading = walk.read(unreadable, after=COUNTED_EVERY)
    assert len(reading.memory.results) == 1
    assert reading.summary.action is GateAction.HOLD


def test_counts_that_began_anew_take_nothing_back() -> None:
    walk = after_the_first_step()
    assert walk.read(good(0, started_at=ANOTHER_START)).summary.action is GateAction.ADVANCE


# whatever comes


@settings(max_examples=200, deadline=None)
@given(
    readings=st.lists(
        st.one_of(
            st.none(),
            st.tuples(st.integers(0, 4000), st.integers(0, 40), st.sampled_from([STARTED, ANOTHER_START])),
        ),
        max_size=40,
    ),
    steps=st.lists(st.integers(1, 3), min_size=40, max_size=40),
)
def test_whatever_is_read_looks_only_go_forward_and_only_a_pass_advances(
    readings: list[tuple[int, int, str] | None], steps: list[int]
) -> None:
    walk, step, looks = Walk(ERRORS), 1, 0
    for found, wanted in zip(readings, steps, strict=False):
        step = max(step, wanted)
        document = found and live_counts(found[0], canary_failed=min(found[1], found[0]), started_at=found[2])
        reading = walk.read(document, after=20, step=step)
        assert reading.memory.look >= looks
        looks = reading.memory.look
        assert len(reading.memory.results) <= 5 * 5 + 5
        passed = any(result.verdict is Verdict.PASS for result in reading.memory.results)
        assert (reading.summary.action is GateAction.ADVANCE) == (
            passed and not any(result.verdict is Verdict.FAIL for result in reading.memory.results)
        )


def test_gates_do_not_see_each_other() -> None:
    found = bad(ERRORS, 250)
    alone = [gate_results([gate], found, PLAN)[0] for gate in LIVE]
    assert list(gate_results(LIVE, found, PLAN)) == alone
