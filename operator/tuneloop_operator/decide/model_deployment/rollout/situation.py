"""What the facts say to a roll-out, in one word: the most urgent thing that holds."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from tuneloop_operator.decide.model_deployment.gates.verdict import GateAction
from tuneloop_operator.decide.model_deployment.rollout.capacity import affordable_weight, full_count, is_in_window
from tuneloop_operator.decide.model_deployment.rollout.facts import (
    Measurements,
    ThinTraffic,
    breakage_of,
    measured_step,
    ready_of,
    target_of,
)
from tuneloop_operator.decide.model_deployment.rollout.in_force import is_in_force, refusing_routers
from tuneloop_operator.decide.model_deployment.rollout.state import IDLE, Phase
from tuneloop_operator.decide.model_deployment.rollout.strategies import goal_of, is_last_step, step_of

if TYPE_CHECKING:
    from datetime import datetime

    from tuneloop_operator.decide.model_deployment.rollout.facts import Facts
    from tuneloop_operator.decide.model_deployment.rollout.state import Rollout


class Situation(StrEnum):
    """What the facts say."""

    CANARY_DOWN = "CanaryDown"
    """The canary is to carry requests and has no ready server."""
    NO_WAY_BACK = "NoWayBack"
    """The canary should carry nothing, but stable has no ready server to carry it."""
    CANARY_BROKEN = "CanaryBroken"
    OTHER_REVISION = "OtherRevision"
    """The spec asks for another revision than the one that is on its way, or that is stable."""
    HARM = "Harm"
    """A gate asks for a roll-back, or the servers of the promoted revision fail for good."""
    TOLERATED_HARM = "ToleratedHarm"
    """The same, and the spec forbids an automatic roll-back."""
    GIVEN_UP = "GivenUp"
    """A gate will not decide."""
    ASLEEP = "Asleep"
    """No servers are asked for."""
    STABLE_DOWN = "StableDown"
    """Stable carries requests, or is to carry some again, and has no ready server."""
    TOO_LONG = "TooLong"
    """The roll-out takes longer than it may."""
    NOT_READY = "NotReady"
    """The canary has too few ready servers."""
    READY = "Ready"
    """The canary has its servers and may get its weight."""
    NOT_IN_FORCE = "NotInForce"
    REFUSED = "Refused"
    """A router does not take the split that is wanted."""
    IN_FORCE = "InForce"
    TOO_EARLY = "TooEarly"
    THIN = "Thin"
    """Too few requests."""
    UNDECIDED = "Undecided"
    """A gate does not advance."""
    NEEDS_APPROVAL = "NeedsApproval"
    COMPLETE = "Complete"
    """Everything that the step asks for holds; while baking: its time is over."""
    SETTLED = "Settled"
    """Nothing is to be done."""


@dataclass(frozen=True, kw_only=True)
class Moment:
    """Everything that a transition depends on."""

    rollout: Rollout
    facts: Facts
    now: datetime


WAITS = frozenset(
    {Situation.NOT_READY, Situation.NOT_IN_FORCE, Situation.TOO_EARLY, Situation.THIN, Situation.UNDECIDED}
)
"""Situations that last until something happens in the cluster. `maxDuration` limits them."""


def situation_of(moment: Moment) -> Situation:
    """Return what the facts say to a roll-out in this phase."""
    phase = moment.rollout.phase
    if phase in IDLE:
        return _in_idleness(moment)
    match phase:
        case Phase.BAKING:
            return _while_baking(moment)
        case Phase.ROLLING_BACK:
            return _on_the_way_back(moment)
        case Phase.REVERTING:
            return _while_reverting(moment)
    return _on_the_way(moment)


def measurements_of(moment: Moment) -> Measurements | None:
    """Return the measurements of the current step; those of another step say nothing about this one."""
    measured, step = moment.facts.measured, measured_step(moment.rollout)
    return measured if measured is not None and measured.step == step else None


def counted_requests(moment: Moment) -> int:
    """Return the requests that count for the step."""
    measured = measurements_of(moment)
    if measured is None:
        return 0
    replays = moment.facts.spec.on_thin_traffic is ThinTraffic.REPLAY
    return measured.requests + (measured.replayed if replays else 0)


def seconds_since(since: datetime | None, now: datetime) -> float:
    """Return the seconds since a moment; 0 if it has not come."""
    return 0.0 if since is None else (now - since).total_seconds()


def undecided_gates(moment: Moment) -> tuple[str, ...]:
    """Return the names of the gates that do not advance. One without a result is among them."""
    measured = measurements_of(moment)
    advancing = {gate.name for gate in (measured.gates if measured else ()) if gate.action is GateAction.ADVANCE}
    return tuple(name for name in moment.facts.spec.gates if name not in advancing)


def gates_asking_for(moment: Moment, action: GateAction) -> tuple[str, ...]:
    """Return the names of the gates that ask for an action, measured in this step."""
    measured = measurements_of(moment)
    return tuple(gate.name for gate in (measured.gates if measured else ()) if gate.action is action)


def _on_the_way(moment: Moment) -> Situation:
    """With a canary before its promotion."""
    rollout, facts = moment.rollout, moment.facts
    if (urgent := _urgent(moment)) is not None:
        return urgent
    if full_count(rollout, facts) == 0:
        return Situation.ASLEEP
    needs_stable = rollout.split.weight_of(rollout.stable) > 0 or goal_of(rollout, facts.spec).weight < 100
    if not rollout.is_forced and needs_stable and not ready_of(facts, rollout.stable):
        return Situation.STABLE_DOWN
    found = _to_the_goal(moment)
    if found is Situation.IN_FORCE and rollout.phase is not Phase.PROMOTING and rollout.step_started is not None:
        found = _in_the_step(moment)
    may_last = rollout.phase is Phase.PROMOTING or rollout.is_forced
    if found in WAITS and not may_last and seconds_since(rollout.started, moment.now) > facts.spec.max_duration:
        return Situation.TOO_LONG
    return found


def _urgent(moment: Moment) -> Situation | None:
    rollout, facts = moment.rollout, moment.facts
    weight = rollout.split.weight_of(rollout.canary)
    if weight and not ready_of(facts, rollout.canary):
        return Situation.CANARY_DOWN
    leaving = None
    is_judged = not rollout.is_forced and not rollout.is_skipped
    if breakage_of(facts, rollout.canary):
        leaving = Situation.CANARY_BROKEN
    elif target_of(rollout, facts) != rollout.canary:
        leaving = Situation.OTHER_REVISION
    elif is_judged and gates_asking_for(moment, GateAction.ROLL_BACK):
        leaving = Situation.HARM if facts.spec.automatic_rollback else Situation.TOLERATED_HARM
    if leaving in {None, Situation.TOLERATED_HARM}:
        given_up = is_judged and gates_asking_for(moment, GateAction.GIVE_UP)
        return leaving or (Situation.GIVEN_UP if given_up else None)
    return Situation.NO_WAY_BACK if weight and not ready_of(facts, rollout.stable) else leaving


def _to_the_goal(moment: Moment) -> Situation:
    """Whether the canary has its servers and its weight."""
    rollout, facts = moment.rollout, moment.facts
    goal, split = goal_of(rollout, facts.spec), rollout.split
    affordable = affordable_weight(rollout, facts)
    if affordable is None:
        return Situation.NOT_READY
    is_there = (split.weight_of(rollout.canary), split.shadow) == (affordable, goal.shadow)
    if rollout.phase is Phase.STARTING or not is_there:
        return Situation.READY if is_in_force(rollout, facts) else _waiting_for_routers(moment)
    return Situation.IN_FORCE if is_in_force(rollout, facts) else _waiting_for_routers(moment)


def _waiting_for_routers(moment: Moment) -> Situation:
    return Situation.REFUSED if refusing_routers(moment.rollout, moment.facts) else Situation.NOT_IN_FORCE


def _in_the_step(moment: Moment) -> Situation:
    """What the step still lacks."""
    rollout, spec = moment.rollout, moment.facts.spec
    step = step_of(rollout, spec)
    if rollout.is_skipped:
        return Situation.COMPLETE
    if seconds_since(rollout.step_started, moment.now) < step.min_duration:
        return Situation.TOO_EARLY
    if counted_requests(moment) < step.min_requests:
        return Situation.THIN
    if undecided_gates(moment):
        return Situation.UNDECIDED
    return Situation.NEEDS_APPROVAL if _needs_approval(moment) else Situation.COMPLETE


def _needs_approval(moment: Moment) -> bool:
    rollout, spec = moment.rollout, moment.facts.spec
    if step_of(rollout, spec).pause and rollout.step not in rollout.approved_steps:
        return True
    return spec.manual_approval and not rollout.is_approved and is_last_step(rollout, spec)


def _on_the_way_back(moment: Moment) -> Situation:
    rollout, facts = moment.rollout, moment.facts
    weight = rollout.split.weight_of(rollout.canary)
    if weight and not ready_of(facts, rollout.canary):
        return Situation.CANARY_DOWN
    if weight or rollout.split.shadow:
        has_way = not weight or ready_of(facts, rollout.stable)
        return Situation.READY if has_way else Situation.NO_WAY_BACK
    return Situation.IN_FORCE if is_in_force(rollout, facts) else _waiting_for_routers(moment)


def _while_reverting(moment: Moment) -> Situation:
    rollout, facts = moment.rollout, moment.facts
    if rollout.split.weight_of(rollout.canary) and not ready_of(facts, rollout.canary):
        return Situation.CANARY_DOWN
    if breakage_of(facts, rollout.canary):
        return Situation.CANARY_BROKEN
    return _to_the_goal(moment)


def _while_baking(moment: Moment) -> Situation:
    if target_of(moment.rollout, moment.facts) != moment.rollout.stable and not _is_rejected(moment):
        return Situation.OTHER_REVISION
    if _is_harmful(moment):
        return Situation.HARM if moment.facts.spec.automatic_rollback else Situation.TOLERATED_HARM
    if seconds_since(moment.rollout.promoted, moment.now) >= moment.facts.spec.baking:
        return Situation.COMPLETE
    return Situation.TOO_EARLY


def _in_idleness(moment: Moment) -> Situation:
    rollout, facts = moment.rollout, moment.facts
    if target_of(rollout, facts) != rollout.stable and not _is_rejected(moment):
        return Situation.OTHER_REVISION
    if rollout.previous and not is_in_window(rollout, facts.spec, now=moment.now):
        return Situation.COMPLETE
    if rollout.phase is Phase.DONE and facts.spec.automatic_rollback and _is_harmful(moment):
        return Situation.HARM
    return Situation.SETTLED


def _is_harmful(moment: Moment) -> bool:
    """Whether the promoted revision does harm, and there is another to go back to."""
    rollout, facts = moment.rollout, moment.facts
    if not rollout.previous or not is_in_window(rollout, facts.spec, now=moment.now):
        return False
    if breakage_of(facts, rollout.previous):
        return False
    is_broken = bool(breakage_of(facts, rollout.stable)) and not ready_of(facts, rollout.stable)
    return is_broken or bool(gates_asking_for(moment, GateAction.ROLL_BACK))


def _is_rejected(moment: Moment) -> bool:
    target, digest = target_of(moment.rollout, moment.facts), moment.facts.spec.digest
    return any(found.revision == target and found.spec_digest == digest for found in moment.rollout.rejected)
