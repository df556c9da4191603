"""From the comparator's counts to what gates ask for: one step, one pair, read again and again."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from comparator_counts import STARTED, counts, live_counts, ratios, replayed
from hypothesis import given, settings
from hypothesis import strategies as st

from tuneloop_api.contract.comparison import ComparisonCounts, GapSums, GoldenCounts, LabelledCounts, PairCounts
from tuneloop_operator.decide.model_deployment.gate_readings import GatePlan, GateReading, gate_results
from tuneloop_operator.decide.model_deployment.gates.evidence import Missing
from tuneloop_operator.decide.model_deployment.gates.gate_memory import COUNTED_EVERY, GateMemory
from tuneloop_operator.decide.model_deployment.gates.gate_spec import GateSpec, Metric
from tuneloop_operator.decide.model_deployment.gates.limits import Limits
from tuneloop_operator.decide.model_deployment.gates.verdict import GateAction, Verdict

BEGAN = datetime.fromisoformat(STARTED)
ERRORS = GateSpec(name="errors", metric=Metric.ERRORS, margin=0.01)
LATENCY = GateSpec(name="latency", metric=Metric.LATENCY, margin=0.1)
AGREEMENT = GateSpec(name="agreement", metric=Metric.AGREEMENT, margin=0.05)
ACCURACY = GateSpec(name="accuracy", metric=Metric.GOLDEN_ACCURACY, margin=0.03)
CALIBRATION = GateSpec(name="calibration", metric=Metric.CALIBRATION, margin=0.05)
LIVE = [ERRORS, LATENCY, AGREEMENT]
PLAN = GatePlan(
    deployment="reviews",
    stable="03ab",
    canary="7d1f",
    min_requests=(1000, 1000, 1000),
    step=1,
    step_began=BEGAN,
    rollout_began=BEGAN,
    now=BEGAN + timedelta(seconds=30),
)
ANOTHER_START = "2026-11-29T11:00:00Z"


def ids(gate: GateSpec) -> str:
    return gate.name


class Walk:
    """A gate that is read again and again."""

    def __init__(self, gate: GateSpec, plan: GatePlan = PLAN) -> None:
        self.gate, self.plan = gate, plan
        self.memory: GateMemory | None = None

    def read(self, found: ComparisonCounts | Missing | None, *, after: float = 0.0, **plan: Any) -> GateReading:
        self.plan = replace(self.plan, now=self.plan.now + timedelta(seconds=after), **plan)
        (reading,) = gate_results([self.gate], found, self.plan, [self.memory] if self.memory else [])
        self.memory = reading.memory
        return reading

    def read_all(self, found: ComparisonCounts) -> GateReading:
        """Read until no look is due."""
        for _ in range(20):
            before = self.memory
            reading = self.read(found)
            if reading.memory == before:
                return reading
        raise AssertionError("a look was due 20 times at the same counts")


def good(rows: int, **fields: Any) -> ComparisonCounts:
    """An equal canary: it agrees, and takes stable's time."""
    return counts(live=PairCounts(agree=rows, latency_ratios=ratios(at_0=rows)), **fields)


def bad(gate: GateSpec, rows: int) -> ComparisonCounts:
    """A canary that is far worse on half of the requests."""
    half = rows // 2
    match gate.metric:
        case Metric.ERRORS:
            return live_counts(rows, canary_failed=half)
        case Metric.AGREEMENT:
            return live_counts(rows, disagree=half)
    return counts(live=PairCounts(agree=rows, latency_ratios=ratios(at_0=rows // 4, slow=rows - rows // 4)))


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


def test_requests_that_both_refuse_and_pairs_without_room_are_no_evidence() -> None:
    found = Walk(ERRORS).read(live_counts(100, refused=900, overloaded=900)).summary
    assert found.reason == "100 of 250 requests for the next look"


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


# the golden set


def right(rows: int, **fields: Any) -> LabelledCounts:
    sums = GapSums(rows=rows, canary_squared=rows * 0.01, stable_squared=rows * 0.01, product=rows * 0.009)
    return LabelledCounts(rows=rows, gaps=sums, **fields)


@pytest.mark.parametrize("gate", [ACCURACY, CALIBRATION], ids=ids)
def test_a_golden_set_is_looked_at_once_for_the_whole_rollout(gate: GateSpec) -> None:
    walk = Walk(gate)
    assert walk.read(replayed(right(2000))).summary.action is GateAction.ADVANCE
    worse = replayed(right(2000, canary_only=1500))
    for step in (1, 2, 3):
        reading = walk.read(worse, step=step)
        assert (reading.summary.action, reading.memory.look) == (GateAction.ADVANCE, 1)


def test_wrong_answers_on_golden_rows_roll_back() -> None:
    assert Walk(ACCURACY).read(replayed(right(2000, canary_only=400))).summary.action is GateAction.ROLL_BACK


def test_a_golden_row_without_an_answer_is_not_a_right_one() -> None:
    pairs = PairCounts(agree=1600, canary_failed=400)
    assert Walk(ACCURACY).read(replayed(right(1600), pairs)).summary.action is GateAction.ROLL_BACK


def test_golden_rows_that_neither_answers_are_no_harm() -> None:
    pairs = PairCounts(agree=1600, both_failed=400)
    assert Walk(ACCURACY).read(replayed(right(1600), pairs)).summary.action is GateAction.ADVANCE


def test_a_single_look_that_does_not_decide_gives_up() -> None:
    found = Walk(ACCURACY).read(replayed(right(100, canary_only=3, stable_only=3))).summary
    assert (found.verdict, found.action) == (Verdict.INCONCLUSIVE, GateAction.GIVE_UP)


def test_a_replay_under_way_is_waited_for_and_never_counted() -> None:
    walk = Walk(ACCURACY)
    under_way = counts(golden=GoldenCounts(rows=1000, wanted=1, rows_done=120))
    found = [walk.read(under_way, after=3600).summary for _ in range(20)][-1]
    assert (found.verdict, found.action) == (Verdict.NO_DATA, GateAction.HOLD)
    assert found.reason == "120 of 1000 golden rows are replayed"


@pytest.mark.parametrize("gate", [ACCURACY, CALIBRATION], ids=ids)
@pytest.mark.parametrize(
    ("golden", "verdict", "reason"),
    [
        pytest.param(None, Verdict.NO_DATA, "has no golden set", id="no set"),
        pytest.param(
            GoldenCounts(problem="/g: is no file"), Verdict.ERROR, "/g: is no file", id="a set that is refused"
        ),
        pytest.param(
            GoldenCounts(failure="a revision was away"), Verdict.NO_DATA, "a revision was away", id="ended early"
        ),
    ],
)
def test_a_golden_set_without_counts_says_why_and_gives_up_at_its_limit(
    gate: GateSpec, golden: GoldenCounts | None, verdict: Verdict, reason: str
) -> None:
    walk = Walk(gate, replace(PLAN, now=BEGAN))
    found = [walk.read(counts(golden=golden), after=COUNTED_EVERY).summary for _ in range(5)]
    assert [summary.verdict for summary in found] == [verdict] * 5
    assert [summary.action for summary in found] == [GateAction.HOLD] * 4 + [GateAction.GIVE_UP]
    assert reason in found[0].reason


def test_a_golden_set_without_labels_cannot_say_who_is_wrong() -> None:
    found = Walk(ACCURACY).read(replayed(LabelledCounts(), PairCounts(agree=500))).summary
    assert (found.verdict, found.action) == (Verdict.ERROR, GateAction.HOLD)
    assert '"label": "positive"' in found.reason


@pytest.mark.parametrize("rows", [0, 20])
def test_too_few_golden_rows_for_calibration_end_as_no_data(rows: int) -> None:
    walk = Walk(CALIBRATION, replace(PLAN, now=BEGAN))
    without_confidence = replayed(right(rows), PairCounts(agree=500))
    found = [walk.read(without_confidence, after=COUNTED_EVERY).summary for _ in range(5)]
    assert found[0].reason == f"{rows} golden rows, at least 50 are needed"
    assert [summary.action for summary in found] == [GateAction.HOLD] * 4 + [GateAction.GIVE_UP]


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
