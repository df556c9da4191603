"""A person's commands: what they do, that they act once, and that they never act on a canary that nobody meant."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from rollouts import NOW, STEPS, a_spec, after, asking, baking, facts_for, following, in_step, measured, serving

from tuneloop_operator.decide.model_deployment.gates.verdict import GateAction
from tuneloop_operator.decide.model_deployment.rollout.commands import obeyed
from tuneloop_operator.decide.model_deployment.rollout.facts import Action, StepSpec
from tuneloop_operator.decide.model_deployment.rollout.situation import Moment
from tuneloop_operator.decide.model_deployment.rollout.state import Phase, Rejection, RejectionReason

GATED = a_spec(gates=("quality",))
ONLY_STABLE = (("r1", 100),)


def test_a_promotion_needs_no_gate_and_no_time() -> None:
    rollout = in_step(0)
    bad = measured(rollout, requests=0, quality=GateAction.ROLL_BACK)
    found = after(rollout, facts_for(rollout, spec=GATED, measured=bad, command=asking(Action.PROMOTE)))
    assert (found.phase, found.split.weights) == (Phase.PROMOTING, (("r2", 100),))


def test_a_promotion_still_waits_for_all_servers() -> None:
    rollout = in_step(0)
    found = after(rollout, facts_for(rollout, ready=(("r1", 4), ("r2", 3)), command=asking(Action.PROMOTE)))
    assert (found.phase, found.split, found.why) == (Phase.PROMOTING, rollout.split, "3 of 4 servers of r2 are ready")


def test_a_promotion_beside_a_stable_without_servers_takes_what_is_there() -> None:
    rollout = in_step(0)
    found = after(rollout, facts_for(rollout, ready=(("r2", 1),), command=asking(Action.PROMOTE)))
    assert found.split.weights == (("r2", 100),)


def test_an_abort_takes_all_requests_away_and_is_remembered() -> None:
    rollout = in_step(1)
    facts = facts_for(rollout, command=asking(Action.ABORT))
    back = after(rollout, facts)
    ended = after(back, following(back, facts))
    assert back.split.weights == ONLY_STABLE
    assert (ended.phase, ended.why) == (Phase.ABORTED, "a person aborted the roll-out of r2")
    assert [found.reason for found in ended.rejected] == [RejectionReason.ABORTED]


def test_an_abort_waits_for_a_stable_that_can_take_the_requests() -> None:
    rollout = in_step(1)
    facts = facts_for(rollout, ready=(("r2", 4),), command=asking(Action.ABORT))
    waiting = after(rollout, facts)
    assert (waiting.phase, waiting.split) == (Phase.ROLLING_BACK, rollout.split)
    assert after(waiting, facts_for(rollout)).split.weights == ONLY_STABLE


def test_an_abort_that_cannot_happen_can_be_taken_back_by_a_promotion() -> None:
    rollout = in_step(1)
    facts = facts_for(rollout, ready=(("r2", 4),), command=asking(Action.ABORT))
    stuck = after(rollout, facts)
    found = after(stuck, replace(facts, command=asking(Action.PROMOTE, token="t2")))
    assert (found.split.weights, found.ending) == ((("r2", 100),), None)


def test_a_retry_begins_with_the_first_step() -> None:
    rollout = in_step(1, phase=Phase.HELD, outages=2)
    found = after(rollout, facts_for(rollout, command=asking(Action.RETRY)))
    assert (found.step, found.started, found.outages, found.split.weight_of("r2")) == (0, NOW, 0, 5)


@pytest.mark.parametrize("phase", [Phase.STARTING, Phase.PROGRESSING, Phase.PAUSED, Phase.PROMOTING])
def test_a_retry_takes_nothing_away_from_a_canary_that_is_on_its_way(phase: Phase) -> None:
    before = Rejection(revision="r2", reason=RejectionReason.BROKEN, message="", at=NOW, spec_digest="another")
    rollout = in_step(2, phase=phase, rejected=(before,))
    moment = Moment(rollout=rollout, facts=facts_for(rollout, command=asking(Action.RETRY)), now=NOW)
    found, event = obeyed(moment)
    assert replace(found, commands=()) == rollout
    assert event is not None
    assert event.message == f"Retry does not apply: the roll-out is {phase}"


def test_a_retry_gives_nothing_back_to_a_stable_without_servers() -> None:
    rollout = in_step(3, phase=Phase.HELD)
    found = after(rollout, facts_for(rollout, ready=(("r2", 4),), command=asking(Action.RETRY)))
    assert (found.step, found.split) == (0, rollout.split)
    assert found.why.startswith("r1 has no ready server")


def test_a_retry_offers_a_rejected_revision_again() -> None:
    rejected = Rejection(revision="r2", reason=RejectionReason.GATE_FAILED, message="", at=NOW, spec_digest="first")
    rollout = serving(phase=Phase.ROLLED_BACK, rejected=(rejected,))
    assert after(rollout, facts_for(rollout)).canary == ""
    assert after(rollout, facts_for(rollout, command=asking(Action.RETRY))).canary == "r2"


def test_a_skip_leaves_one_step_and_no_more() -> None:
    rollout = in_step(0, phase=Phase.HELD)
    bad = measured(rollout, requests=0, quality=GateAction.GIVE_UP)
    facts = facts_for(rollout, spec=GATED, measured=bad, command=asking(Action.SKIP))
    found = after(rollout, facts)
    assert (found.step, found.split.weight_of("r2"), found.is_skipped) == (1, 25, False)
    assert after(found, following(found, facts)).step == 1


def test_a_skip_of_a_held_step_gives_its_weight_back_first() -> None:
    rollout = in_step(1, phase=Phase.HELD, step_started=None, split=in_step(1).split)
    facts = facts_for(rollout, spec=GATED, command=asking(Action.SKIP))
    held = replace(rollout, split=replace(rollout.split, weights=ONLY_STABLE))
    found = after(held, facts)
    assert (found.step, found.split.weight_of("r2")) == (1, 25)
    assert after(found, following(found, facts)).step == 2


@pytest.mark.parametrize("early", [True, False], ids=["before", "while it waits"])
def test_a_pause_ends_with_an_approval(early: bool) -> None:
    spec = a_spec(steps=(StepSpec(weight=5, min_duration=60.0, pause=True), *STEPS[1:]))
    rollout = in_step(0, step_started=NOW if early else in_step(0).step_started)
    facts = facts_for(rollout, spec=spec)
    if not early:
        rollout = after(rollout, facts)
        assert (rollout.phase, rollout.why) == (Phase.PAUSED, "a person must approve step 1 of r2")
    approved = after(rollout, facts_for(rollout, spec=spec, command=asking(Action.APPROVE)))
    assert approved.approved_steps == (0,)
    assert approved.step == (0 if early else 1)


@pytest.mark.parametrize(("phase", "action"), [(Phase.PAUSED, Action.APPROVE), (Phase.HELD, Action.SKIP)])
def test_the_time_in_which_a_person_was_waited_for_does_not_count(phase: Phase, action: Action) -> None:
    spec = a_spec(steps=(replace(STEPS[0], pause=True), *STEPS[1:]))
    rollout = in_step(0, phase=phase, started=NOW - timedelta(days=3))
    found = after(rollout, facts_for(rollout, spec=spec, measured=measured(rollout), command=asking(action)))
    assert (found.step, found.started) == (1, NOW)
    assert after(found, following(found, facts_for(rollout, spec=spec))).phase is Phase.PROGRESSING


def test_an_approval_overrides_no_gate() -> None:
    rollout = in_step(3, phase=Phase.PAUSED)
    spec = a_spec(gates=("quality",), manual_approval=True)
    holds = measured(rollout, quality=GateAction.HOLD)
    found = after(rollout, facts_for(rollout, spec=spec, measured=holds, command=asking(Action.APPROVE)))
    assert (found.phase, found.is_approved) == (Phase.PROGRESSING, True)


def test_a_promotion_waits_for_an_approval_where_the_spec_says_so() -> None:
    rollout = in_step(3)
    spec = a_spec(manual_approval=True)
    waiting = after(rollout, facts_for(rollout, spec=spec))
    assert (waiting.phase, waiting.why) == (Phase.PAUSED, "a person must approve the promotion of r2")
    assert after(waiting, facts_for(rollout, spec=spec, command=asking(Action.APPROVE))).stable == "r2"


def test_a_person_goes_back_within_the_window() -> None:
    rollout = baking(phase=Phase.DONE)
    facts = facts_for(rollout, command=asking(Action.ROLL_BACK))
    back = after(rollout, facts)
    ended = after(back, following(back, facts))
    assert (ended.stable, ended.phase) == ("r1", Phase.ROLLED_BACK)
    assert [found.reason for found in ended.rejected] == [RejectionReason.ROLLED_BACK]
    assert after(ended, following(ended, facts)) == ended, "the command acts once"


def test_a_command_acts_once() -> None:
    rollout = in_step(0)
    facts = facts_for(rollout, command=asking(Action.SKIP))
    found = after(after(rollout, facts), facts)
    assert found.step == 1
    again = after(found, following(found, facts))
    assert (again.step, again.commands) == (1, ("t1",))


@pytest.mark.parametrize("action", Action)
def test_a_command_that_comes_between_roll_outs_does_nothing_to_the_next_one(action: Action) -> None:
    rollout = serving()
    quiet = after(rollout, facts_for(rollout, offered="r1", command=asking(action)))
    assert (quiet.phase, quiet.commands) == (Phase.DONE, ("t1",))
    started = after(quiet, facts_for(quiet, ready=(("r1", 4),), command=asking(action)))
    assert (started.canary, started.phase, started.is_forced) == ("r2", Phase.STARTING, False)


@pytest.mark.parametrize("revision", ["r1", "r9"], ids=["stable", "a third"])
def test_a_command_for_another_revision_than_the_canary_does_nothing(revision: str) -> None:
    rollout = in_step(0)
    found = after(rollout, facts_for(rollout, command=asking(Action.PROMOTE, revision=revision)))
    assert (found.is_forced, found.commands) == (False, ("t1",))


@pytest.mark.parametrize(
    ("action", "revision", "canary"),
    [
        pytest.param(Action.ROLL_BACK, "r2", "r1", id="roll back what is stable"),
        pytest.param(Action.ROLL_BACK, "r1", "", id="roll back what is not"),
    ],
)
def test_a_command_names_the_revision_that_it_is_about(action: Action, revision: str, canary: str) -> None:
    rollout = baking()
    found = after(rollout, facts_for(rollout, command=asking(action, revision=revision)))
    assert found.canary == canary
