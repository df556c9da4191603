"""What must hold before a canary goes on, in each strategy, and what never makes it go on."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from rollouts import NOW, STEPS, a_spec, after, facts_for, following, in_step, measured, serving

from tuneloop_operator.decide.model_deployment.gates.verdict import GateAction
from tuneloop_operator.decide.model_deployment.rollout.facts import Measurements, RolloutSpec, StepSpec, ThinTraffic
from tuneloop_operator.decide.model_deployment.rollout.rollout import decide
from tuneloop_operator.decide.model_deployment.rollout.situation import Situation
from tuneloop_operator.decide.model_deployment.rollout.state import Phase, Router, Split, Strategy
from tuneloop_operator.decide.model_deployment.rollout.state_machine import TABLE, Transition
from tuneloop_operator.decide.model_deployment.rollout.strategies import POLICIES, step_of
from tuneloop_operator.decide.model_deployment.rollout.transitions import TRANSITIONS

GATED = a_spec(gates=("quality",))


def test_a_step_that_holds_is_followed_by_the_next_weight() -> None:
    rollout = in_step(1)
    found = after(rollout, facts_for(rollout, spec=GATED, measured=measured(rollout, quality=GateAction.ADVANCE)))
    assert (found.step, found.split.weights) == (2, (("r2", 50), ("r1", 50)))


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        pytest.param({"requests": 499}, "499 of 500 requests", id="too few requests"),
        pytest.param({"quality": GateAction.HOLD}, "gate quality NoData (harm 0.1 %, margin 1 %)", id="a gate holds"),
        pytest.param({}, "gate quality has no result yet", id="a gate has no result"),
    ],
)
def test_a_canary_waits_and_says_for_what(fields: dict[str, Any], why: str) -> None:
    rollout = in_step(1)
    found = after(rollout, facts_for(rollout, spec=GATED, measured=measured(rollout, **fields)))
    assert (found.step, found.why) == (1, why)


def test_a_step_lasts_its_time_at_least() -> None:
    rollout = in_step(1, step_started=NOW - timedelta(seconds=599))
    found = after(rollout, facts_for(rollout, measured=measured(rollout)))
    assert (found.step, found.why) == (1, "the step is not over yet")


def test_without_measurements_a_step_with_gates_is_not_left() -> None:
    rollout = in_step(2)
    assert after(rollout, facts_for(rollout, spec=GATED)).step == 2


def test_what_was_measured_in_another_step_counts_for_nothing() -> None:
    rollout = in_step(1)
    old = measured(in_step(0), quality=GateAction.ADVANCE)
    found = after(rollout, facts_for(rollout, spec=GATED, measured=old))
    assert (found.step, found.requests) == (1, 0)


def test_the_verdict_of_another_step_rolls_nothing_back() -> None:
    rollout = in_step(1)
    old = measured(in_step(0), quality=GateAction.ROLL_BACK)
    assert after(rollout, facts_for(rollout, spec=GATED, measured=old)).phase is Phase.PROGRESSING


@pytest.mark.parametrize(
    ("generations", "why"),
    [
        pytest.param((11, 10), "b does not follow generation 11 yet", id="one is late"),
        pytest.param((None, 11), "a does not follow generation 11 yet", id="one has not reported"),
        pytest.param((), "there is no router", id="there is none"),
    ],
)
def test_no_step_is_left_before_every_router_follows_it(generations: tuple[int | None, ...], why: str) -> None:
    rollout = in_step(1)
    routers = tuple(Router(name=name, generation=number) for name, number in zip("ab", generations, strict=False))
    found = after(rollout, facts_for(rollout, routers=routers, measured=measured(rollout)))
    assert (found.step, found.why) == (1, why)


def test_the_clock_of_a_step_starts_when_its_weight_is_in_force() -> None:
    rollout = in_step(1, step_started=None)
    late = facts_for(rollout, routers=(Router(name="a", generation=3),))
    assert after(rollout, late).step_started is None
    assert after(rollout, following(rollout, late)).step_started == NOW


def test_a_weight_that_is_edited_in_the_middle_starts_the_clock_anew() -> None:
    rollout = in_step(1)
    edited = (STEPS[0], replace(STEPS[1], weight=30), *STEPS[2:])
    found = after(rollout, facts_for(rollout, spec=a_spec(steps=edited), measured=measured(rollout)))
    assert (found.step, found.split.weight_of("r2"), found.step_started) == (1, 30, None)


def test_a_weight_waits_for_the_servers_that_it_needs() -> None:
    rollout = in_step(1, step=2, step_started=None)
    found = after(rollout, facts_for(rollout, ready=(("r1", 4), ("r2", 1))))
    assert (found.split, found.why) == (rollout.split, "1 of 2 servers of r2 are ready")


def test_golden_requests_count_only_where_the_spec_says_so() -> None:
    rollout = in_step(1)
    thin = Measurements(step=measured(rollout).step, requests=20, replayed=480)
    held = after(rollout, facts_for(rollout, measured=thin))
    replaying = facts_for(rollout, spec=a_spec(on_thin_traffic=ThinTraffic.REPLAY), measured=thin)
    assert (held.step, held.replays) == (1, False)
    assert after(rollout, replaying).step == 2


def test_golden_requests_are_asked_for_when_traffic_is_thin() -> None:
    rollout = in_step(1)
    thin = facts_for(rollout, spec=a_spec(on_thin_traffic=ThinTraffic.REPLAY), measured=measured(rollout, requests=20))
    assert after(rollout, thin).replays


def walked(spec: RolloutSpec) -> list[tuple[tuple[tuple[str, int], ...], int]]:
    """Return the weights and the share of copies of each split on the way to r2, with everything in order."""
    rollout = serving(strategy=spec.strategy)
    facts, splits = facts_for(rollout, spec=spec), [rollout.split]
    for minute in range(60):
        now = NOW + timedelta(hours=minute)
        facts = following(rollout, facts)
        rollout = after(rollout, facts, now=now)
        if rollout.step_started is not None:
            facts = replace(facts, measured=measured(rollout))
        splits += [rollout.split] if rollout.split != splits[-1] else []
        if rollout.phase is Phase.DONE and rollout.stable == "r2":
            return [(split.weights, split.shadow) for split in splits[1:]]
    raise AssertionError(f"no end: {rollout}")


ALL = ((("r2", 100),), 0)


@pytest.mark.parametrize(
    ("spec", "splits"),
    [
        pytest.param(
            a_spec(steps=STEPS[:2]), [((("r2", 5), ("r1", 95)), 0), ((("r2", 25), ("r1", 75)), 0), ALL], id="canary"
        ),
        pytest.param(a_spec(steps=STEPS[3:]), [ALL], id="a step of 100"),
        pytest.param(a_spec(strategy=Strategy.BLUE_GREEN, steps=STEPS[:1]), [ALL], id="blue-green"),
        pytest.param(a_spec(strategy=Strategy.RECREATE), [ALL], id="recreate"),
        pytest.param(
            a_spec(strategy=Strategy.SHADOW, steps=(), shadow_percent=20), [((("r1", 100),), 20), ALL], id="shadow"
        ),
        pytest.param(
            a_spec(strategy=Strategy.SHADOW, steps=(StepSpec(weight=50),)),
            [((("r1", 100),), 10), ((("r2", 50), ("r1", 50)), 10), ALL],
            id="shadow, then a share",
        ),
    ],
)
def test_requests_go_over_as_the_strategy_says(spec: RolloutSpec, splits: list[Any]) -> None:
    assert walked(spec) == splits


@pytest.mark.parametrize("strategy", Strategy)
def test_every_strategy_waits_for_servers_before_its_promotion(strategy: Strategy) -> None:
    spec = a_spec(strategy=strategy, steps=())
    assert POLICIES[strategy].steps(spec)
    rollout = serving(strategy=strategy)
    found = after(rollout, facts_for(rollout, spec=spec, ready=(("r1", 4),)))
    assert (found.phase, found.split.weights) == (Phase.STARTING, (("r1", 100),))


def test_steps_that_were_deleted_in_the_middle_are_not_complete() -> None:
    rollout = in_step(2, step_started=NOW)
    facts = facts_for(rollout, spec=a_spec(steps=(StepSpec(weight=50, min_duration=600.0),)), measured=None)
    found = after(rollout, facts)
    assert (found.phase, found.split) == (Phase.PROGRESSING, rollout.split)
    assert step_of(found, facts.spec).min_duration == 600.0


def test_the_strategy_of_a_roll_out_does_not_change_in_the_middle() -> None:
    rollout = in_step(0, step_started=NOW)
    found = after(rollout, facts_for(rollout, spec=a_spec(strategy=Strategy.RECREATE)))
    assert (found.strategy, found.split) == (Strategy.CANARY, rollout.split)


def test_a_first_revision_serves_at_once() -> None:
    found = after(None, facts_for(serving(), offered="r1", revisions=(), ready=()))
    assert (found.stable, found.canary, found.split.weights) == ("r1", "", (("r1", 100),))


def test_a_revision_that_never_had_a_server_is_replaced_without_steps() -> None:
    rollout = serving(has_served=False)
    found = after(rollout, facts_for(rollout, ready=()))
    assert (found.stable, found.split.weights) == ("r2", (("r2", 100),))


def test_a_lost_memory_starts_the_canary_anew_and_promotes_nothing() -> None:
    found = after(None, facts_for(in_step(2), serving="r1"))
    assert (found.stable, found.canary, found.step, found.split.weights) == ("r1", "r2", 0, (("r1", 100),))
    assert found.split.generation > 12, "a router takes no older generation than it has"


def test_a_router_with_a_newer_split_gets_the_wanted_one_above_it() -> None:
    rollout = serving(split=Split(generation=3, weights=(("r1", 100),)))
    found = after(rollout, facts_for(rollout, offered="r1", routers=(Router(name="a", generation=7),)))
    assert found.split == Split(generation=8, weights=(("r1", 100),))


def test_the_next_look_is_when_the_step_may_end() -> None:
    rollout = in_step(1, step_started=NOW - timedelta(seconds=590))
    assert decide(rollout, facts_for(rollout), now=NOW).requeue_after == pytest.approx(10.0)


def test_the_table_is_whole() -> None:
    assert set(TABLE) == {(phase, situation) for phase in Phase for situation in Situation}
    assert set(TRANSITIONS) == set(Transition)
