"""What keeps a run from starting, as tables of memory, facts and time."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from retraining_worlds import SPEC

from tuneloop_operator.decide.model_deployment.retraining.facts import Champion, Facts, RolloutView
from tuneloop_operator.decide.model_deployment.retraining.loop import decide
from tuneloop_operator.decide.model_deployment.retraining.memory import remembered, written
from tuneloop_operator.decide.model_deployment.retraining.run_end import ended
from tuneloop_operator.decide.model_deployment.retraining.state import (
    MOST_RECORDS,
    BlockedReason,
    Loop,
    LoopState,
    Outcome,
    Record,
    Run,
)
from tuneloop_operator.decide.model_deployment.retraining.stories import events_between, last_events
from tuneloop_operator.decide.model_deployment.retraining.storm import (
    block_of,
    gpu_seconds_left,
    learned_before,
    pause_after,
)
from tuneloop_operator.decide.model_deployment.retraining.verdict import TriggerState, TriggerVerdict

NOW = datetime(2026, 3, 1, tzinfo=UTC)
HOUR = 3600.0
VERDICT = TriggerVerdict(
    name="accuracy",
    type="accuracy",
    action="Retrain",
    state=TriggerState.FIRING,
    reason="0.81 of 900 labels are right",
    value=0.81,
    threshold=0.9,
    since=NOW,
    key="k1",
)
FACTS = Facts(
    spec=SPEC,
    deployment_uid="u1",
    deployment_name="api",
    model="m",
    verdicts=(VERDICT,),
    champion=Champion(revision="r1", digest="c1"),
    recipe="p1",
)


def run(number: int = 1, *, hours: float = 100.0, **fields: Any) -> Run:
    """Return a run that was decided so many hours ago."""
    known = {"name": f"api-{number}", "trigger": "accuracy", "key": f"old-{number}", "recipe": "p1"}
    started = NOW - timedelta(hours=hours)
    return Run(**known | {"started": started, "champion": "r1", "champion_digest": "c1"} | fields)


def record(outcome: Outcome = Outcome.PROMOTED, *, ended: float = 90.0, **fields: Any) -> Record:
    """Return a run that ended so many hours ago."""
    return Record(run=run(**fields), outcome=outcome, reason="because", ended=NOW - timedelta(hours=ended))


@pytest.mark.parametrize(
    ("setbacks", "hours"), [(0, 10), (1, 20), (2, 40), (3, 80), (4, 100), (5, 100), (500, 100), (10_000, 100)]
)
def test_the_pause_doubles_with_each_setback_up_to_its_limit(setbacks: int, hours: float) -> None:
    assert pause_after(setbacks, SPEC) == hours * HOUR


def test_a_limit_below_the_cooldown_does_not_shorten_the_cooldown() -> None:
    assert pause_after(3, replace(SPEC, backoff_max=HOUR)) == SPEC.cooldown


BLOCKS: list[tuple[str, Loop, dict[str, Any], dict[str, Any], BlockedReason | None]] = [
    ("nothing", Loop(), {}, {}, None),
    ("a person", Loop(), {}, {"is_suspended": True}, BlockedReason.SUSPENDED),
    ("no template", Loop(), {"template_problem": "there is none"}, {}, BlockedReason.TEMPLATE),
    ("no champion", Loop(), {"champion": None}, {}, BlockedReason.ROLLOUT_IN_PROGRESS),
    ("the job of the run before", Loop(), {"leftover": "api-1"}, {}, BlockedReason.RUN_IN_FLIGHT),
    ("baking", Loop(), {"rollout": RolloutView(busy=BlockedReason.BAKING)}, {}, BlockedReason.BAKING),
    ("the pause", Loop(history=(record(ended=9.9),)), {}, {}, BlockedReason.COOLDOWN),
    ("the pause is over", Loop(history=(record(ended=10.0),)), {}, {}, None),
    ("a longer pause", Loop(history=(record(Outcome.REJECTED, ended=19.9),), setbacks=1), {}, {}, BlockedReason.COOLDOWN),
    ("old data", Loop(history=(record(Outcome.NO_NEW_DATA, ended=1.0),)), {}, {}, BlockedReason.NO_NEW_DATA),
    ("runs", Loop(history=(record(number=1), record(number=2))), {}, {"most_runs": 2}, BlockedReason.BUDGET),
    ("runs before the window", Loop(history=(record(number=1), record(number=2, hours=1001))), {}, {"most_runs": 2}, None),
    ("runs that were dry", Loop(history=(record(), record(Outcome.DRY_RUN, number=2))), {}, {"most_runs": 2}, None),
    ("GPUs", Loop(history=(record(gpu_seconds=6 * HOUR),)), {}, {"most_gpu_seconds": 11 * HOUR}, BlockedReason.BUDGET),
    ("room for one more", Loop(history=(record(gpu_seconds=6 * HOUR),)), {}, {"most_gpu_seconds": 13 * HOUR}, None),
    ("all GPUs, before the window", Loop(history=(record(hours=1001, gpu_seconds=9 * HOUR),)), {}, {"most_gpu_seconds": 7 * HOUR}, None),
    ("others at work", Loop(), {"runs_elsewhere": 2, "most_parallel_runs": 2}, {}, BlockedReason.PARALLEL_RUNS),
    ("room beside others", Loop(), {"runs_elsewhere": 1, "most_parallel_runs": 2}, {}, None),
    ("others at work, without a limit", Loop(), {"runs_elsewhere": 500}, {}, None),
    ("GPUs of runs before the window", Loop(history=(record(hours=1001, gpu_seconds=6 * HOUR),)), {}, {"most_gpu_seconds": 7 * HOUR}, None),
]  # fmt: skip


@pytest.mark.parametrize(("_", "loop", "facts", "spec", "reason"), BLOCKS, ids=[row[0] for row in BLOCKS])
def test_what_blocks_a_run(
    _: str, loop: Loop, facts: dict[str, Any], spec: dict[str, Any], reason: BlockedReason | None
) -> None:
    found = block_of(loop, replace(FACTS, spec=replace(SPEC, **spec), **facts), now=NOW)
    assert (found.reason if found else None) == reason


def test_a_spent_budget_frees_itself_when_the_oldest_run_leaves_the_window() -> None:
    loop = Loop(history=(record(number=1, hours=900), record(number=2, hours=100)))
    found = block_of(loop, replace(FACTS, spec=replace(SPEC, most_runs=2)), now=NOW)
    assert found is not None
    assert found.until == NOW + timedelta(hours=100)


def test_a_run_may_use_what_is_left_of_the_gpu_hours() -> None:
    loop = Loop(history=(record(gpu_seconds=6 * HOUR),))
    assert gpu_seconds_left(loop, replace(SPEC, most_gpu_seconds=10 * HOUR), now=NOW) == 4 * HOUR
    assert gpu_seconds_left(loop, SPEC, now=NOW) is None


SAME: list[tuple[str, dict[str, Any], Outcome, dict[str, Any], str]] = [
    ("rejected", {}, Outcome.REJECTED, {}, "run api-1"),
    ("rolled back", {}, Outcome.ROLLED_BACK, {}, "run api-1"),
    ("failed on the way", {}, Outcome.FAILED, {}, ""),
    ("given up for the user's model", {}, Outcome.SUPERSEDED, {}, ""),
    ("other data", {"data_digest": "d2"}, Outcome.REJECTED, {}, ""),
    ("another recipe", {"recipe": "p2"}, Outcome.REJECTED, {}, ""),
    ("another champion", {"champion_digest": "c2"}, Outcome.REJECTED, {}, ""),
    ("not wanted", {}, Outcome.REJECTED, {"requires_new_data": False}, ""),
    ("not known yet", {"data_digest": ""}, Outcome.REJECTED, {}, ""),
]


@pytest.mark.parametrize(("_", "other", "outcome", "spec", "by"), SAME, ids=[row[0] for row in SAME])
def test_who_has_learned_from_these_data(
    _: str, other: dict[str, Any], outcome: Outcome, spec: dict[str, Any], by: str
) -> None:
    loop = Loop(history=(record(outcome, data_digest="d1"),))
    new = run(2, **{"data_digest": "d1"} | other)
    assert learned_before(loop, new, replace(FACTS, spec=replace(SPEC, **spec))) == by


def test_the_model_that_serves_has_learned_from_its_own_data() -> None:
    facts = replace(FACTS, champion=Champion(revision="r1", digest="c1", data_digest="d1"))
    assert "revision r1" in learned_before(Loop(), run(data_digest="d1"), facts)


STATES: list[tuple[TriggerVerdict, LoopState]] = [
    (VERDICT, LoopState.CONFIRMED),
    (replace(VERDICT, state=TriggerState.PENDING), LoopState.SUSPECTED),
    (replace(VERDICT, state=TriggerState.UNKNOWN), LoopState.IDLE),
    (replace(VERDICT, state=TriggerState.INACTIVE), LoopState.IDLE),
    (replace(VERDICT, action="Alert"), LoopState.IDLE),
    (replace(VERDICT, key="old-1"), LoopState.IDLE),
]


@pytest.mark.parametrize(("verdict", "state"), STATES, ids=lambda value: str(getattr(value, "state", value)))
def test_what_a_trigger_leads_to(verdict: TriggerVerdict, state: LoopState) -> None:
    found = decide(Loop(history=(record(),)), replace(FACTS, verdicts=(verdict,)), now=NOW)
    assert found.loop.state is state
    assert (found.create is not None) == (state is LoopState.CONFIRMED)


def test_one_run_answers_all_triggers_that_fire() -> None:
    drift = replace(VERDICT, name="drift", key="k2")
    found = decide(Loop(), replace(FACTS, verdicts=(VERDICT, drift)), now=NOW)
    assert dict(found.loop.handled) == {"accuracy": "k1", "drift": "k2"}


def test_an_answered_request_stays_answered_when_the_history_has_forgotten_it() -> None:
    first = decide(Loop(), FACTS, now=NOW).loop
    later = replace(first, run=None, history=tuple(record(number=number) for number in range(20)))
    assert decide(later, FACTS, now=NOW).loop.state is LoopState.IDLE


def test_a_blocked_loop_looks_again_when_time_alone_lets_it_go_on() -> None:
    found = decide(Loop(history=(record(ended=4.0),)), FACTS, now=NOW)
    assert found.requeue_after == 6 * HOUR + 1
    assert found.loop.next_eligible == NOW + timedelta(hours=6)


def test_the_name_of_a_run_says_what_it_answers() -> None:
    def name(**facts: Any) -> str:
        found = decide(Loop(), replace(FACTS, **facts), now=NOW).create
        return found.name if found else ""

    others = [
        name(deployment_uid="u2"),
        name(verdicts=(replace(VERDICT, key="k2"),)),
        name(champion=Champion(revision="r2", digest="c2")),
    ]
    assert name() == name()
    assert len({name(), *others}) == 4


def test_what_is_read_is_what_was_written() -> None:
    loop = decide(Loop(history=(record(data_digest="d1", gpu_seconds=7.5), record(Outcome.FAILED, number=2))), FACTS, now=NOW).loop  # fmt: skip
    assert remembered(written(loop, SPEC, now=NOW)) == loop


def test_people_are_told_once_of_a_start_an_end_and_a_new_block() -> None:
    idle = Loop()
    started = decide(idle, FACTS, now=NOW).loop
    assert [event.reason for event in events_between(idle, started)] == ["RetrainingStarted"]
    assert events_between(started, started) == ()
    ended = replace(started, run=None, history=(record(Outcome.REJECTED),))
    assert [(event.type, event.reason) for event in events_between(started, ended)] == [
        ("Warning", "RetrainingRejected")
    ]
    blocked = replace(idle, blocked=BlockedReason.BUDGET, why="no room")
    assert [event.message for event in events_between(idle, blocked)] == ["no room"]
    assert events_between(blocked, replace(blocked, why="still no room")) == ()
    assert [event.reason for event in last_events(replace(started, history=ended.history))] == [
        "RetrainingRejected",
        "RetrainingStarted",
    ]


def test_the_run_of_one_trigger_forgets_no_answer_to_another() -> None:
    quiet = replace(VERDICT, name="drift", state=TriggerState.INACTIVE, key="")
    gone = ("gone", "k8")
    loop = Loop(handled=(("drift", "k9"), gone))
    found = decide(loop, replace(FACTS, verdicts=(VERDICT, quiet)), now=NOW).loop
    assert dict(found.handled) == {"drift": "k9", "accuracy": "k1"}


def test_runs_that_were_not_started_crowd_no_run_out_of_the_budget() -> None:
    loop = Loop(run=run(0, hours=50.0), history=tuple(record(number=number) for number in range(1, 4)))
    for number in range(100, 130):
        loop = replace(ended(loop, Outcome.DRY_RUN, "would have started", now=NOW), run=run(number, hours=1.0))
    assert [found.run.name for found in loop.history[:3]] == ["api-1", "api-2", "api-3"]
    assert len(loop.history) == MOST_RECORDS
    assert loop.history[-1].run.name == "api-128"


def test_a_run_that_was_not_started_is_remembered_among_runs_that_were() -> None:
    loop = Loop(run=run(99), history=tuple(record(number=number) for number in range(MOST_RECORDS)))
    history = ended(loop, Outcome.DRY_RUN, "would have started", now=NOW).history
    assert [found.run.name for found in history] == [f"api-{number}" for number in (*range(1, MOST_RECORDS), 99)]
