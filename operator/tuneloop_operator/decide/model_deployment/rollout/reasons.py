"""Why a roll-out waits, holds or ends, as a sentence without a full stop."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneloop_operator.decide.model_deployment.gates.verdict import GateAction
from tuneloop_operator.decide.model_deployment.rollout.capacity import servers_for
from tuneloop_operator.decide.model_deployment.rollout.facts import SERVICE, breakage_of, ready_of, target_of
from tuneloop_operator.decide.model_deployment.rollout.gate_summary import sentences
from tuneloop_operator.decide.model_deployment.rollout.in_force import late_routers, refusing_routers
from tuneloop_operator.decide.model_deployment.rollout.situation import (
    Situation,
    counted_requests,
    gates_asking_for,
    measurements_of,
    undecided_gates,
)
from tuneloop_operator.decide.model_deployment.rollout.state import Phase
from tuneloop_operator.decide.model_deployment.rollout.strategies import step_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from tuneloop_operator.decide.model_deployment.rollout.situation import Moment
    from tuneloop_operator.decide.model_deployment.rollout.state import Router


def why(moment: Moment, situation: Situation) -> str:
    """Return why the roll-out does what it does in a situation; empty where there is nothing to explain."""
    explain = _SENTENCES.get(situation)
    return explain(moment) if explain else ""


def _canary_down(moment: Moment) -> str:
    return f"{moment.rollout.canary} has no ready server and gets no requests"


def _no_way_back(moment: Moment) -> str:
    rollout = moment.rollout
    weight = rollout.split.weight_of(rollout.canary)
    return f"{rollout.canary} keeps its {weight} %: {rollout.stable} has no ready server to take them back"


def _canary_broken(moment: Moment) -> str:
    rollout = moment.rollout
    broken = f"the servers of {rollout.canary} fail: {breakage_of(moment.facts, rollout.canary)}"
    return f"{rollout.stable} stays, because there is no way back: {broken}" if _is_reverting(moment) else broken


def _other_revision(moment: Moment) -> str:
    target = target_of(moment.rollout, moment.facts)
    if target == moment.rollout.stable:
        return f"the spec went back to {target}"
    return f"{moment.rollout.canary} makes room for {target}"


def _harm(moment: Moment) -> str:
    rollout = moment.rollout
    if gates_asking_for(moment, GateAction.ROLL_BACK):
        return _gates(moment, GateAction.ROLL_BACK)
    return f"the servers of {rollout.stable} fail: {breakage_of(moment.facts, rollout.stable)}"


def _tolerated_harm(moment: Moment) -> str:
    return f"{_harm(moment)}; rollback.automatic is false, so a person must decide"


def _given_up(moment: Moment) -> str:
    gates = _gates(moment, GateAction.GIVE_UP)
    return f"{gates}, so {moment.rollout.canary} waits for a person: retry, skip, promote or abort"


def _gates(moment: Moment, action: GateAction) -> str:
    measured = measurements_of(moment)
    found = [gate for gate in (measured.gates if measured else ()) if gate.action is action]
    return "; ".join(sentences(found))


def _asleep(_: Moment) -> str:
    return "no servers are asked for"


def _stable_down(moment: Moment) -> str:
    rollout = moment.rollout
    return f"{rollout.stable} has no ready server to compare with; {rollout.canary} goes on once there is one"


def _too_long(moment: Moment) -> str:
    hours = moment.facts.spec.max_duration / 3600
    return f"the roll-out takes longer than {hours:g} h (rollout.maxDuration)"


def _not_ready(moment: Moment) -> str:
    rollout, facts = moment.rollout, moment.facts
    ready, needed = ready_of(facts, rollout.canary), servers_for(rollout, facts)
    return f"{ready} of {needed} servers of {rollout.canary} are ready"


def _not_in_force(moment: Moment) -> str:
    late = late_routers(moment.rollout, moment.facts)
    if not late:
        return "there is no router"
    if late == (SERVICE,) and len(moment.rollout.split.weights) > 1:
        return f"no router that is ready follows generation {moment.rollout.split.generation} yet"
    return f"{', '.join(late)} {'does' if len(late) == 1 else 'do'} not follow generation {moment.rollout.split.generation} yet"


def _refused(moment: Moment) -> str:
    return "; ".join(refusal(router) for router in refusing_routers(moment.rollout, moment.facts))


def refusal(router: Router) -> str:
    """Return which split a router does not take, and why."""
    return f"router {router.name} refuses generation {router.refused}: {router.reason or 'it does not say why'}"


def _too_early(moment: Moment) -> str:
    if moment.rollout.phase is Phase.BAKING:
        return "" if not moment.rollout.previous else f"{moment.rollout.previous} is kept for a roll-back"
    return "the step is not over yet"


def _thin(moment: Moment) -> str:
    step = step_of(moment.rollout, moment.facts.spec)
    return f"{counted_requests(moment)} of {step.min_requests} requests"


def _undecided(moment: Moment) -> str:
    measured = measurements_of(moment)
    found = {gate.name: gate for gate in (measured.gates if measured else ())}
    names = undecided_gates(moment)
    silent = [f"gate {name} has no result yet" for name in names if name not in found]
    return "; ".join([*sentences(found[name] for name in names if name in found), *silent])


def _needs_approval(moment: Moment) -> str:
    rollout, spec = moment.rollout, moment.facts.spec
    pauses = step_of(rollout, spec).pause and rollout.step not in rollout.approved_steps
    what = f"step {rollout.step + 1}" if pauses else "the promotion"
    return f"a person must approve {what} of {rollout.canary}"


def _is_reverting(moment: Moment) -> bool:
    return moment.rollout.phase is Phase.REVERTING


_SENTENCES: dict[Situation, Callable[[Moment], str]] = {
    Situation.CANARY_DOWN: _canary_down,
    Situation.NO_WAY_BACK: _no_way_back,
    Situation.CANARY_BROKEN: _canary_broken,
    Situation.OTHER_REVISION: _other_revision,
    Situation.HARM: _harm,
    Situation.TOLERATED_HARM: _tolerated_harm,
    Situation.GIVEN_UP: _given_up,
    Situation.ASLEEP: _asleep,
    Situation.STABLE_DOWN: _stable_down,
    Situation.TOO_LONG: _too_long,
    Situation.NOT_READY: _not_ready,
    Situation.NOT_IN_FORCE: _not_in_force,
    Situation.REFUSED: _refused,
    Situation.TOO_EARLY: _too_early,
    Situation.THIN: _thin,
    Situation.UNDECIDED: _undecided,
    Situation.NEEDS_APPROVAL: _needs_approval,
}
