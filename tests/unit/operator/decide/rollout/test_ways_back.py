"""How a roll-out goes back: a canary without servers, gates that fail, another revision, a promoted revision that does harm."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from rollouts import NOW, a_spec, after, baking, facts_for, following, in_step, measured, serving

from tuneloop_operator.decide.model_deployment.gates.verdict import GateAction
from tuneloop_operator.decide.model_deployment.rollout.rollout import decide
from tuneloop_operator.decide.model_deployment.rollout.state import Phase, RejectionReason

GATED = a_spec(gates=("quality",))
ONLY_STABLE = (("r1", 100),)


@pytest.mark.parametrize("phase", [Phase.PROGRESSING, Phase.PAUSED, Phase.HELD, Phase.PROMOTING, Phase.ROLLING_BACK])
def test_a_canary_without_servers_gets_nothing_in_the_next_decision(phase: Phase) -> None:
    rollout = in_step(1, phase=phase)
    found = after(rollout, facts_for(rollout, ready=(("r1", 4),)))
    assert found.split.weights == ONLY_STABLE
    assert found.split.generation == rollout.split.generation + 1


def test_a_canary_gets_nothing_even_if_stable_is_down_too() -> None:
    rollout = in_step(1)
    assert after(rollout, facts_for(rollout, ready=())).split.weights == ONLY_STABLE


def test_a_canary_that_comes_back_takes_its_step_again_from_the_start() -> None:
    rollout = in_step(1)
    away = after(rollout, facts_for(rollout, ready=(("r1", 4),)))
    back = after(away, following(away, facts_for(rollout)))
    assert (back.phase, back.step, back.step_started) == (Phase.PROGRESSING, 1, None)
    assert back.split.weight_of("r2") == 25


def test_a_canary_that_loses_all_servers_three_times_is_rejected() -> None:
    rollout = in_step(1, outages=2)
    away = after(rollout, facts_for(rollout, ready=(("r1", 4),)))
    ended = after(away, following(away, facts_for(rollout)))
    assert (ended.phase, ended.why) == (Phase.ROLLED_BACK, "r2 lost all its servers 3 times")
    assert [(found.revision, found.reason) for found in ended.rejected] == [("r2", RejectionReason.BROKEN)]


def test_servers_that_fail_for_good_end_the_roll_out_at_once() -> None:
    rollout = serving(canary="r2", phase=Phase.STARTING, started=NOW)
    facts = facts_for(rollout, ready=(("r1", 4),), broken=(("r2", "out of memory"),))
    found = after(rollout, facts)
    assert (found.phase, found.why) == (Phase.ROLLED_BACK, "the servers of r2 fail: out of memory")


def test_a_gate_that_fails_takes_all_requests_away_and_says_why() -> None:
    rollout = in_step(1)
    found = after(rollout, facts_for(rollout, spec=GATED, measured=measured(rollout, quality=GateAction.ROLL_BACK)))
    assert (found.phase, found.split.weights) == (Phase.ROLLING_BACK, ONLY_STABLE)
    assert found.why == "a, b do not follow generation 12 yet"


def test_a_roll_back_ends_when_it_is_in_force_and_the_revision_is_remembered() -> None:
    rollout = in_step(1)
    facts = facts_for(rollout, spec=GATED, measured=measured(rollout, quality=GateAction.ROLL_BACK))
    back = after(rollout, facts)
    ended = after(back, following(back, facts))
    assert (ended.phase, ended.canary) == (Phase.ROLLED_BACK, "")
    assert ended.why == "gate quality Fail (harm 0.1 %, margin 1 %)"
    assert [(found.revision, found.reason) for found in ended.rejected] == [("r2", RejectionReason.GATE_FAILED)]
    assert after(ended, following(ended, facts)) == ended, "it is not offered again"


def test_a_rejected_revision_is_offered_again_after_a_change_of_the_spec() -> None:
    rollout = in_step(1)
    facts = facts_for(rollout, broken=(("r2", "out of memory"),))
    back = after(rollout, facts)
    ended = after(back, following(back, facts))
    again = after(ended, following(ended, facts, broken=(), spec=a_spec(digest="second")))
    assert (ended.phase, again.canary) == (Phase.ROLLED_BACK, "r2")


def test_a_gate_that_holds_changes_nothing() -> None:
    rollout = in_step(1)
    found = after(rollout, facts_for(rollout, spec=GATED, measured=measured(rollout, quality=GateAction.HOLD)))
    assert (found.phase, found.split) == (Phase.PROGRESSING, rollout.split)


def test_a_gate_that_cannot_decide_takes_the_requests_away_and_rejects_nothing() -> None:
    rollout = in_step(1)
    facts = facts_for(rollout, spec=GATED, measured=measured(rollout, quality=GateAction.GIVE_UP))
    held = after(rollout, facts)
    assert (held.phase, held.split.weights, held.rejected) == (Phase.HELD, ONLY_STABLE, ())
    assert held.why.startswith("gate quality Error (harm 0.1 %, margin 1 %), so r2 waits for a person")
    assert after(held, following(held, facts)).split == held.split, "it does not come back by itself"


def test_a_gate_that_cannot_decide_gives_nothing_to_a_stable_without_servers() -> None:
    rollout = in_step(1)
    silent = measured(rollout, quality=GateAction.GIVE_UP)
    held = after(rollout, facts_for(rollout, spec=GATED, ready=(("r2", 4),), measured=silent))
    assert (held.phase, held.split) == (Phase.HELD, rollout.split)


def test_a_held_canary_is_still_rolled_back_by_a_gate() -> None:
    rollout = in_step(1, phase=Phase.HELD)
    found = after(rollout, facts_for(rollout, spec=GATED, measured=measured(rollout, quality=GateAction.ROLL_BACK)))
    assert found.split.weights == ONLY_STABLE


def test_without_automatic_roll_back_a_person_must_decide() -> None:
    rollout = in_step(1)
    spec = a_spec(gates=("quality",), automatic_rollback=False)
    found = after(rollout, facts_for(rollout, spec=spec, measured=measured(rollout, quality=GateAction.ROLL_BACK)))
    assert (found.phase, found.split) == (Phase.HELD, rollout.split)
    assert "rollback.automatic is false" in found.why


def test_nothing_is_rolled_back_to_a_stable_without_servers() -> None:
    rollout = in_step(1)
    facts = facts_for(rollout, spec=GATED, ready=(("r2", 4),), measured=measured(rollout, quality=GateAction.ROLL_BACK))
    found = after(rollout, facts)
    assert found.split == rollout.split
    assert found.why == "r2 keeps its 25 %: r1 has no ready server to take them back"


def test_a_canary_does_not_go_on_beside_a_stable_without_servers() -> None:
    rollout = in_step(2)
    found = after(rollout, facts_for(rollout, ready=(("r2", 4),)))
    assert (found.step, found.split) == (2, rollout.split)
    assert found.why == "r1 has no ready server to compare with; r2 goes on once there is one"


def test_a_third_revision_waits_until_the_second_gets_nothing() -> None:
    rollout = in_step(1)
    facts = facts_for(rollout, offered="r3")
    back = after(rollout, facts)
    assert (back.canary, back.split.weights) == ("r2", ONLY_STABLE)
    third = after(back, following(back, facts))
    assert (third.canary, third.phase, third.rejected) == ("r3", Phase.STARTING, ())


def test_a_spec_that_goes_back_ends_the_roll_out_without_a_rejection() -> None:
    rollout = in_step(1)
    facts = facts_for(rollout, offered="r1")
    back = after(rollout, facts)
    ended = after(back, following(back, facts))
    assert (ended.phase, ended.stable, ended.rejected, ended.why) == (Phase.DONE, "r1", (), "the spec went back to r1")


def test_a_canary_that_finds_no_servers_in_time_is_rejected() -> None:
    rollout = serving(canary="r2", phase=Phase.STARTING, started=NOW - timedelta(hours=25))
    ended = after(rollout, facts_for(rollout, ready=(("r1", 4),)))
    assert [found.reason for found in ended.rejected] == [RejectionReason.NEVER_READY]


def test_a_roll_out_that_takes_too_long_is_held_and_not_rolled_back() -> None:
    rollout = in_step(1, started=NOW - timedelta(hours=25))
    found = after(rollout, facts_for(rollout, measured=measured(rollout, requests=3)))
    assert (found.phase, found.split) == (Phase.HELD, rollout.split)
    assert found.why == "the roll-out takes longer than 24 h (rollout.maxDuration)"


def test_a_router_that_is_late_is_not_the_canarys_fault() -> None:
    rollout = serving(canary="r2", phase=Phase.STARTING, started=NOW - timedelta(hours=25))
    found = after(rollout, facts_for(rollout, routers=()))
    assert (found.phase, found.rejected) == (Phase.HELD, ())


def test_a_promotion_counts_once_every_router_follows_it() -> None:
    rollout = in_step(3)
    promoting = after(rollout, facts_for(rollout, measured=measured(rollout)))
    assert (promoting.phase, promoting.stable, promoting.previous) == (Phase.BAKING, "r2", "r1")
    last_share = in_step(2, step=3)
    wanted = after(last_share, facts_for(last_share))
    assert (wanted.split.weights, wanted.stable) == ((("r2", 100),), "r1")


@pytest.mark.parametrize("breaks", [True, False], ids=["its servers fail", "a gate fails"])
def test_a_promoted_revision_that_does_harm_gives_way_to_the_one_before(breaks: bool) -> None:
    rollout = baking()
    facts = facts_for(rollout, spec=GATED, ready=(("r1", 4), ("r2", 4)))
    harm = (
        replace(facts, broken=(("r2", "crashes"),), ready=(("r1", 4),))
        if breaks
        else replace(facts, measured=measured(rollout, quality=GateAction.ROLL_BACK))
    )
    back = after(rollout, harm)
    assert (back.phase, back.split.weights, back.stable) == (Phase.REVERTING, ONLY_STABLE, "r2")
    ended = after(back, following(back, harm))
    assert (ended.phase, ended.stable, ended.previous) == (Phase.ROLLED_BACK, "r1", "")
    assert [found.revision for found in ended.rejected] == ["r2"]


def test_requests_stay_where_they_are_until_the_old_revision_has_its_servers() -> None:
    rollout = baking()
    harm = facts_for(rollout, spec=GATED, ready=(("r2", 4),), measured=measured(rollout, quality=GateAction.ROLL_BACK))
    back = after(rollout, harm)
    assert (back.phase, back.split.weights) == (Phase.REVERTING, (("r2", 100),))


def test_a_revision_is_baked_when_its_time_is_over_and_the_old_one_stays_for_the_window() -> None:
    rollout = baking()
    baked = after(rollout, facts_for(rollout), now=NOW + timedelta(hours=1))
    assert (baked.phase, baked.previous) == (Phase.DONE, "r1")
    forgotten = after(baked, facts_for(baked), now=NOW + timedelta(hours=24))
    assert (forgotten.phase, forgotten.previous) == (Phase.DONE, "")


def test_gates_without_data_do_not_prolong_the_baking_and_roll_nothing_back() -> None:
    rollout = baking()
    silent = facts_for(rollout, spec=GATED, measured=measured(rollout, quality=GateAction.GIVE_UP))
    assert after(rollout, silent).phase is Phase.BAKING
    assert after(rollout, silent, now=NOW + timedelta(hours=1)).phase is Phase.DONE


def test_a_spec_that_returns_within_the_window_needs_no_steps() -> None:
    rollout = baking(phase=Phase.DONE)
    found = after(rollout, facts_for(rollout, spec=GATED, offered="r1"))
    assert (found.canary, found.phase, found.split.weights) == ("r1", Phase.PROMOTING, ONLY_STABLE)


def test_a_new_revision_does_not_wait_for_the_baking_of_the_last() -> None:
    rollout = baking()
    found = after(rollout, facts_for(rollout, offered="r3"))
    assert (found.phase, found.canary, found.stable) == (Phase.STARTING, "r3", "r2")


def test_a_way_back_whose_servers_fail_too_is_given_up() -> None:
    rollout = baking(phase=Phase.REVERTING, canary="r1")
    found = after(rollout, facts_for(rollout, ready=(("r2", 4),), broken=(("r1", "no image"),)))
    assert (found.phase, found.stable, found.split.weights) == (Phase.DONE, "r2", (("r2", 100),))
    assert found.why == "r2 stays, because there is no way back: the servers of r1 fail: no image"


def test_a_pin_takes_the_revision_without_steps() -> None:
    rollout = serving(stable="r2", split=replace(serving().split, weights=(("r2", 100),)))
    found = after(rollout, facts_for(rollout, pinned="r1", spec=a_spec(digest="pinned")))
    assert (found.canary, found.split.weights) == ("r1", ONLY_STABLE)


def test_what_happened_is_an_event_once() -> None:
    rollout = in_step(1)
    facts = facts_for(rollout, broken=(("r2", "out of memory"),))
    found = decide(rollout, facts, now=NOW)
    assert [event.reason for event in found.events] == ["RollingBack"]
    assert not decide(found.rollout, facts, now=NOW).events


def test_no_server_is_asked_for_and_no_time_is_counted_while_a_deployment_sleeps() -> None:
    rollout = in_step(1)
    asleep = after(rollout, facts_for(rollout, spec=a_spec(replicas=0), ready=()))
    assert (asleep.phase, asleep.started, asleep.outages) == (Phase.STARTING, None, 0)
    awake = after(asleep, facts_for(asleep, ready=(("r1", 4),)), now=NOW + timedelta(days=3))
    assert (awake.phase, awake.started) == (Phase.STARTING, NOW + timedelta(days=3))
