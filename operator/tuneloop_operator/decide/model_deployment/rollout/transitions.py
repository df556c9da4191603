"""What each transition of the state machine does: the new memory, and the Event that tells people. Those that lead back are in `ways_back`."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from tuneloop_operator.decide.model_deployment.rollout.capacity import affordable_weight, is_in_window
from tuneloop_operator.decide.model_deployment.rollout.facts import ThinTraffic, ready_of, target_of
from tuneloop_operator.decide.model_deployment.rollout.in_force import with_split
from tuneloop_operator.decide.model_deployment.rollout.outcome import Outcome, announced
from tuneloop_operator.decide.model_deployment.rollout.reasons import why
from tuneloop_operator.decide.model_deployment.rollout.situation import Situation
from tuneloop_operator.decide.model_deployment.rollout.state import Phase, updated, without_canary
from tuneloop_operator.decide.model_deployment.rollout.state_machine import Transition
from tuneloop_operator.decide.model_deployment.rollout.strategies import goal_of, is_last_step, steps_of
from tuneloop_operator.decide.model_deployment.rollout.ways_back import (
    drop,
    end,
    reject,
    revert,
    supersede,
    take_back,
    with_rejection,
    withdraw,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from tuneloop_operator.decide.model_deployment.rollout.situation import Moment


def _wait(moment: Moment, situation: Situation) -> Outcome:
    rollout = moment.rollout
    phase = Phase.PROGRESSING if rollout.phase is Phase.PAUSED else rollout.phase
    replays = situation is Situation.THIN and moment.facts.spec.on_thin_traffic is ThinTraffic.REPLAY
    # an end keeps its reason; so does what a person must decide
    keeps = situation is Situation.SETTLED or rollout.phase is Phase.HELD
    reason = rollout.why if keeps else why(moment, situation)
    return Outcome(rollout=updated(rollout, phase=phase, replays=replays, why=reason))


def _start(moment: Moment, _: Situation) -> Outcome:
    rollout, facts, spec = moment.rollout, moment.facts, moment.facts.spec
    target = target_of(rollout, facts)
    fresh = without_canary(replace(rollout, strategy=spec.strategy))
    if not rollout.has_served:  # nobody loses anything, and there is nothing to compare with
        return Outcome(rollout=with_split(replace(fresh, stable=target), facts, weights=((target, 100),)))
    returns = target == rollout.previous and is_in_window(rollout, spec, now=moment.now)
    started = replace(
        fresh,
        canary=target,
        phase=Phase.STARTING,
        started=moment.now,
        step_started=None,
        is_forced=target == facts.pinned or returns,
    )
    return announced(started, "RolloutStarted", f"{target} is to take over from {rollout.stable}")


def _begin(moment: Moment, _: Situation) -> Outcome:
    phase = Phase.PROMOTING if moment.rollout.is_forced else Phase.PROGRESSING
    return Outcome(rollout=replace(moment.rollout, phase=phase, step_started=None))


def _shift(moment: Moment, _: Situation) -> Outcome:
    rollout, facts = moment.rollout, moment.facts
    weight = affordable_weight(rollout, facts)
    if weight is None:
        raise AssertionError("SHIFT follows from servers that can carry the weight")
    shadow = goal_of(rollout, facts.spec).shadow
    weights = ((rollout.canary, weight), (rollout.stable, 100 - weight))
    shifted = replace(with_split(rollout, facts, weights=weights, shadow=shadow), phase=_progressing(rollout.phase))
    return announced(shifted, "WeightChanged", f"{rollout.canary} is to get {weight} % of the requests")


def _progressing(phase: Phase) -> Phase:
    return Phase.PROGRESSING if phase is Phase.PAUSED else phase


def _start_clock(moment: Moment, _: Situation) -> Outcome:
    return Outcome(rollout=replace(moment.rollout, step_started=moment.now))


def _advance(moment: Moment, _: Situation) -> Outcome:
    rollout, spec = moment.rollout, moment.facts.spec
    if is_last_step(rollout, spec):
        promoting = replace(rollout, phase=Phase.PROMOTING, is_skipped=False, replays=False)
        return announced(promoting, "Promoting", f"{rollout.canary} has passed all steps")
    step, steps = rollout.step + 1, steps_of(rollout, spec)
    advanced = replace(
        rollout,
        phase=Phase.PROGRESSING,
        step=step,
        step_started=None,
        replayed_before=None,
        is_skipped=False,
        replays=False,
    )
    message = f"{rollout.canary} goes on to step {step + 1} of {len(steps)}, {steps[step].weight} %"
    return announced(advanced, "StepReached", message)


def _pause(moment: Moment, situation: Situation) -> Outcome:
    paused = replace(moment.rollout, phase=Phase.PAUSED, replays=False, why=why(moment, situation))
    return announced(paused, "Paused", paused.why)


def _hold(moment: Moment, situation: Situation) -> Outcome:
    held = replace(moment.rollout, phase=Phase.HELD, replays=False, why=why(moment, situation))
    return announced(held, "Held", held.why, warns=True)


def _give_up(moment: Moment, situation: Situation) -> Outcome:
    """The canary is not rejected, and not started again by itself either. A stable without servers could not take its requests."""
    rollout, facts = moment.rollout, moment.facts
    if ready_of(facts, rollout.stable):
        rollout = with_split(rollout, facts, weights=((rollout.stable, 100),))
    held = replace(rollout, phase=Phase.HELD, replays=False, why=why(moment, situation))
    return Outcome(rollout=held) if held == moment.rollout else announced(held, "Held", held.why, warns=True)


def _time_out(moment: Moment, situation: Situation) -> Outcome:
    """A canary that found no servers in time is rejected. A router that is late is not the canary's fault."""
    if ready_of(moment.facts, moment.rollout.canary):
        return _hold(moment, situation)
    return reject(moment, situation)


def _sleep(moment: Moment, situation: Situation) -> Outcome:
    asleep = replace(moment.rollout, phase=Phase.STARTING, started=None, step_started=None, why=why(moment, situation))
    return Outcome(rollout=asleep)


def _confirm(moment: Moment, _: Situation) -> Outcome:
    rollout, ending = moment.rollout, moment.rollout.ending
    old, new = rollout.stable, rollout.canary
    if rollout.phase is Phase.REVERTING and ending is not None and ending.reason is not None:
        rejecting = with_rejection(moment, old, ending.reason, ending)
        back = replace(without_canary(rejecting), phase=ending.phase, stable=new, previous="", why=ending.message)
        return announced(back, "RolledBack", f"{new} gets all requests again: {ending.message}")
    promoted = replace(
        without_canary(rollout),
        phase=Phase.BAKING,
        stable=new,
        previous=old,
        promoted=moment.now,
        step_started=moment.now,
        rejected=tuple(found for found in rollout.rejected if found.revision != new),
    )
    return announced(promoted, "Promoted", f"{new} gets all requests")


def _finish(moment: Moment, _: Situation) -> Outcome:
    return Outcome(rollout=replace(moment.rollout, phase=Phase.DONE, gate_memories=(), why=""))


def _forget(moment: Moment, _: Situation) -> Outcome:
    return Outcome(rollout=replace(moment.rollout, previous=""))


TRANSITIONS: dict[Transition, Callable[[Moment, Situation], Outcome]] = {
    Transition.WAIT: _wait,
    Transition.START: _start,
    Transition.BEGIN: _begin,
    Transition.SHIFT: _shift,
    Transition.START_CLOCK: _start_clock,
    Transition.ADVANCE: _advance,
    Transition.PAUSE: _pause,
    Transition.HOLD: _hold,
    Transition.GIVE_UP: _give_up,
    Transition.TIME_OUT: _time_out,
    Transition.SLEEP: _sleep,
    Transition.WITHDRAW: withdraw,
    Transition.REJECT: reject,
    Transition.SUPERSEDE: supersede,
    Transition.TAKE_BACK: take_back,
    Transition.END: end,
    Transition.CONFIRM: _confirm,
    Transition.REVERT: revert,
    Transition.DROP: drop,
    Transition.FINISH: _finish,
    Transition.FORGET: _forget,
}
