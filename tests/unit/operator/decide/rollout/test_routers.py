"""Routers that refuse a split, that carry nothing yet, and that are told something else."""

from __future__ import annotations

from dataclasses import replace

import pytest
from rollouts import NOW, a_spec, after, asking, baking, facts_for, in_step, serving

from tuneloop_operator.decide.model_deployment.rollout.facts import Action, Facts
from tuneloop_operator.decide.model_deployment.rollout.rollout import decide
from tuneloop_operator.decide.model_deployment.rollout.state import Ending, Phase, Rollout, Router, Split, Strategy

ENDING = Ending(phase=Phase.ROLLED_BACK, reason=None, message="a person rolled r2 back")
BACK = in_step(1, phase=Phase.ROLLING_BACK, ending=ENDING, split=Split(generation=12, weights=(("r1", 100),)))


def refusing(rollout: Rollout, **fields: object) -> Facts:
    """Return facts in which router `b` does not take the split that is wanted."""
    wanted = rollout.split.generation
    routers = (
        Router(name="a", generation=wanted),
        Router(name="b", generation=wanted - 1, refused=wanted, reason="no room"),
    )
    return facts_for(rollout, routers=routers, **fields)


@pytest.mark.parametrize(
    "rollout",
    [
        pytest.param(in_step(1, step_started=None), id="in a step"),
        pytest.param(in_step(1, phase=Phase.STARTING), id="at the start"),
        pytest.param(in_step(3, phase=Phase.PROMOTING), id="before the promotion"),
    ],
)
def test_a_refusal_holds_the_roll_out_with_the_routers_reason(rollout: Rollout) -> None:
    found = decide(rollout, refusing(rollout), now=NOW)
    assert found.rollout.phase is Phase.HELD
    assert found.rollout.why == f"router b refuses generation {rollout.split.generation}: no room"
    assert [event.reason for event in found.events] == ["SplitRefused", "Held"]
    assert found.rollout.split == rollout.split, "nothing is tried again by itself"


@pytest.mark.parametrize("rollout", [BACK, baking()], ids=["on the way back", "while baking"])
def test_elsewhere_a_refusal_is_told_and_changes_nothing(rollout: Rollout) -> None:
    found = decide(rollout, refusing(rollout), now=NOW)
    assert (found.rollout.phase, found.rollout.split) == (rollout.phase, rollout.split)
    assert [event.reason for event in found.events] == ["SplitRefused"]


def test_a_refusal_is_told_once_also_over_a_restart() -> None:
    rollout = in_step(1, step_started=None)
    known = after(rollout, refusing(rollout))
    silent = refusing(known, standby=())
    silent = replace(silent, routers=tuple(Router(name=router.name, generation=None) for router in silent.routers))
    restarted = decide(known, silent, now=NOW)
    assert restarted.rollout.in_force == known.in_force, "what was reported stands until something else is"
    assert decide(restarted.rollout, refusing(rollout), now=NOW).events == ()


@pytest.mark.parametrize(
    ("rollout", "action"),
    [
        pytest.param(in_step(1, phase=Phase.HELD), Action.RETRY, id="a retry of a canary"),
        pytest.param(in_step(1, phase=Phase.HELD), Action.SKIP, id="any other command"),
        pytest.param(BACK, Action.RETRY, id="a retry on the way back"),
        pytest.param(baking(), Action.RETRY, id="a retry while baking"),
    ],
)
def test_the_same_split_is_tried_again_when_a_person_acts(rollout: Rollout, action: Action) -> None:
    found = after(rollout, refusing(rollout, command=asking(action)))
    assert found.split == replace(rollout.split, generation=rollout.split.generation + 1)


def test_a_command_that_does_not_apply_tries_nothing_again() -> None:
    assert after(BACK, refusing(BACK, command=asking(Action.APPROVE))).split == BACK.split


def test_nobody_waits_for_routers_that_carry_nothing() -> None:
    rollout = in_step(1, step_started=None)
    found = after(rollout, facts_for(rollout, standby=(Router(name="c", generation=None),)))
    assert found.step_started == NOW
    assert found.in_force[-1] == Router(name="c", generation=None), "they are shown"


@pytest.mark.parametrize(
    "router",
    [
        pytest.param(Router(name="c", generation=30), id="that follows a newer split"),
        pytest.param(Router(name="c", generation=3, refused=30), id="that refused a newer split"),
    ],
)
def test_a_split_is_newer_than_all_that_a_router_on_standby_knows(router: Router) -> None:
    assert after(serving(), facts_for(serving(), offered="r1", standby=(router,))).split.generation == 31


def test_other_settings_are_another_generation_of_the_same_shares() -> None:
    rollout = in_step(1)
    found = after(rollout, facts_for(rollout, settings="x-user"))
    assert found.split == replace(rollout.split, generation=12, settings="x-user")
    assert found.step_started is None, "users move, so the step begins anew"
    assert after(found, facts_for(found, settings="x-user")).split == found.split


def test_other_settings_at_rest_prolong_no_baking() -> None:
    assert after(baking(), facts_for(baking(), settings="x-user")).step_started == baking().step_started


def test_the_strategy_of_the_spec_is_that_of_the_next_roll_out() -> None:
    recreate = a_spec(strategy=Strategy.RECREATE)
    rollout = in_step(1)
    assert after(rollout, facts_for(rollout, spec=recreate)).strategy is Strategy.CANARY
    assert after(baking(), facts_for(baking(), spec=recreate)).strategy is Strategy.RECREATE


def test_steps_that_are_deleted_in_the_middle_take_nothing_back() -> None:
    rollout = in_step(2, step=0, step_started=NOW)
    assert after(rollout, facts_for(rollout, spec=a_spec(steps=()))).split == rollout.split
