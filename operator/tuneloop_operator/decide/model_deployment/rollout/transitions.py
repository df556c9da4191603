"""What each transition of the state machine does: the new memory, and the Event that tells people."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from tuneloop_operator.decide.decision import Event
from tuneloop_operator.decide.model_deployment.rollout.capacity import affordable_weight, full_count, is_in_window
from tuneloop_operator.decide.model_deployment.rollout.facts import (
    ThinTraffic,
    breakage_of,
    failure_of,
    ready_of,
    target_of,
)
from tuneloop_operator.decide.model_deployment.rollout.in_force import with_split
from tuneloop_operator.decide.model_deployment.rollout.reasons import why
from tuneloop_operator.decide.model_deployment.rollout.situation import Situation
from tuneloop_operator.decide.model_deployment.rollout.state import (
    Ending,
    Phase,
    Rejection,
    RejectionReason,
    updated,
)
from tuneloop_operator.decide.model_deployment.rollout.state_machine import Transition
from tuneloop_operator.decide.model_deployment.rollout.strategies import goal_of, is_last_step, steps_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from tuneloop_operator.decide.model_deployment.rollout.situation import Moment
    from tuneloop_operator.decide.model_deployment.rollout.state import Rollout

MOST_OUTAGES = 3
"""How often a canary may lose all its servers. Nodes are drained; a server that dies again and again is the model's."""
_MOST_REJECTED = 20


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """The outcome of one transition."""

    rollout: Rollout
    event: Event | None = None


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
    return _told(started, "RolloutStarted", f"{target} is to take over from {rollout.stable}")


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
    return _told(shifted, "WeightChanged", f"{rollout.canary} is to get {weight} % of the requests")


def _progressing(phase: Phase) -> Phase:
    return Phase.PROGRESSING if phase is Phase.PAUSED else phase


def _start_clock(moment: Moment, _: Situation) -> Outcome:
    return Outcome(rollout=replace(moment.rollout, step_started=moment.now))


def _advance(moment: Moment, _: Situation) -> Outcome:
    rollout, spec = moment.rollout, moment.facts.spec
    if is_last_step(rollout, spec):
        promoting = replace(rollout, phase=Phase.PROMOTING, is_skipped=False, replays=False)
        return _told(promoting, "Promoting", f"{rollout.canary} has passed all steps")
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
    return _told(advanced, "StepReached", message)


def _pause(moment: Moment, situation: Situation) -> Outcome:
    paused = replace(moment.rollout, phase=Phase.PAUSED, replays=False, why=why(moment, situation))
    return _told(paused, "Paused", paused.why)


def _hold(moment: Moment, situation: Situation) -> Outcome:
    held = replace(moment.rollout, phase=Phase.HELD, replays=False, why=why(moment, situation))
    return _told(held, "Held", held.why, warns=True)


def _give_up(moment: Moment, situation: Situation) -> Outcome:
    """The canary is not rejected, and not started again by itself either. A stable without servers could not take its requests."""
    rollout, facts = moment.rollout, moment.facts
    if ready_of(facts, rollout.stable):
        rollout = with_split(rollout, facts, weights=((rollout.stable, 100),))
    held = replace(rollout, phase=Phase.HELD, replays=False, why=why(moment, situation))
    return Outcome(rollout=held) if held == moment.rollout else _told(held, "Held", held.why, warns=True)


def _time_out(moment: Moment, situation: Situation) -> Outcome:
    """A canary that found no servers in time is rejected. A router that is late is not the canary's fault."""
    if ready_of(moment.facts, moment.rollout.canary):
        return _hold(moment, situation)
    return _reject(moment, situation)


def _sleep(moment: Moment, situation: Situation) -> Outcome:
    asleep = replace(moment.rollout, phase=Phase.STARTING, started=None, step_started=None, why=why(moment, situation))
    return Outcome(rollout=asleep)


def _withdraw(moment: Moment, situation: Situation) -> Outcome:
    rollout, facts = moment.rollout, moment.facts
    withdrawn = with_split(rollout, facts, weights=((rollout.stable, 100),))
    if rollout.phase in {Phase.ROLLING_BACK, Phase.REVERTING}:
        return Outcome(rollout=withdrawn)
    outages = rollout.outages + bool(
        full_count(rollout, facts)
    )  # nobody is to blame for servers that were not asked for
    withdrawn = replace(withdrawn, phase=Phase.STARTING, outages=outages, is_skipped=False, replays=False)
    if outages >= MOST_OUTAGES and not rollout.is_forced:
        message = f"{rollout.canary} lost all its servers {outages} times"
        failure = failure_of(facts, rollout.canary)
        return _rolling_back(withdrawn, RejectionReason.BROKEN, message, failure=failure)
    return _told(withdrawn, "CanaryDown", why(moment, situation), warns=True)


def _reject(moment: Moment, situation: Situation) -> Outcome:
    reasons = {
        Situation.CANARY_BROKEN: RejectionReason.BROKEN,
        Situation.HARM: RejectionReason.GATE_FAILED,
        Situation.TOO_LONG: RejectionReason.NEVER_READY,
    }
    is_harm = situation is Situation.HARM  # the servers come up: what they do is wrong
    failure = "" if is_harm else failure_of(moment.facts, moment.rollout.canary)
    return _rolling_back(moment.rollout, reasons[situation], why(moment, situation), failure=failure)


def _rolling_back(rollout: Rollout, reason: RejectionReason, message: str, *, failure: str) -> Outcome:
    ending = Ending(phase=Phase.ROLLED_BACK, reason=reason, message=message, failure=failure)
    return _told(rolling_back(rollout, ending), "RollingBack", message, warns=True)


def _supersede(moment: Moment, situation: Situation) -> Outcome:
    ending = Ending(phase=Phase.DONE, reason=None, message=why(moment, situation))
    return _told(rolling_back(moment.rollout, ending), "Superseded", ending.message)


def _take_back(moment: Moment, _: Situation) -> Outcome:
    return Outcome(rollout=with_split(moment.rollout, moment.facts, weights=((moment.rollout.stable, 100),)))


def _end(moment: Moment, _: Situation) -> Outcome:
    rollout, ending = moment.rollout, moment.rollout.ending
    if ending is None:
        raise AssertionError("a roll-back knows how it ends")
    if ending.reason is not None:
        rollout = _with_rejection(moment, rollout.canary, ending.reason, ending)
    ended = replace(without_canary(rollout), phase=ending.phase, why=ending.message)
    return _told(ended, "RolloutEnded", ending.message)


def _confirm(moment: Moment, _: Situation) -> Outcome:
    rollout, ending = moment.rollout, moment.rollout.ending
    old, new = rollout.stable, rollout.canary
    if rollout.phase is Phase.REVERTING and ending is not None and ending.reason is not None:
        rejecting = _with_rejection(moment, old, ending.reason, ending)
        back = replace(without_canary(rejecting), phase=ending.phase, stable=new, previous="", why=ending.message)
        return _told(back, "RolledBack", f"{new} gets all requests again: {ending.message}")
    promoted = replace(
        without_canary(rollout),
        phase=Phase.BAKING,
        stable=new,
        previous=old,
        promoted=moment.now,
        step_started=moment.now,
        rejected=tuple(found for found in rollout.rejected if found.revision != new),
    )
    return _told(promoted, "Promoted", f"{new} gets all requests")


def _revert(moment: Moment, situation: Situation) -> Outcome:
    broken = breakage_of(moment.facts, moment.rollout.stable)
    reason = RejectionReason.BROKEN if broken else RejectionReason.GATE_FAILED
    message, failure = why(moment, situation), failure_of(moment.facts, moment.rollout.stable) if broken else ""
    back = reverting(moment.rollout, reason, message, failure=failure)
    return _told(back, "RollingBack", message, warns=True)


def _drop(moment: Moment, situation: Situation) -> Outcome:
    dropped = replace(without_canary(moment.rollout), phase=Phase.DONE, previous="", why=why(moment, situation))
    weights = ((dropped.stable, 100),)
    return _told(with_split(dropped, moment.facts, weights=weights), "RollbackFailed", dropped.why, warns=True)


def _finish(moment: Moment, _: Situation) -> Outcome:
    return Outcome(rollout=replace(moment.rollout, phase=Phase.DONE, gate_memories=(), why=""))


def _forget(moment: Moment, _: Situation) -> Outcome:
    return Outcome(rollout=replace(moment.rollout, previous=""))


def without_canary(rollout: Rollout) -> Rollout:
    """Return the memory without what belongs to one roll-out."""
    return replace(
        rollout,
        canary="",
        step=0,
        started=None,
        step_started=None,
        replays=False,
        outages=0,
        gate_memories=(),
        replayed_before=None,
        approved_steps=(),
        is_approved=False,
        is_forced=False,
        is_skipped=False,
        ending=None,
        why="",
    )


def rolling_back(rollout: Rollout, ending: Ending) -> Rollout:
    """Return the memory in which the canary is on its way out."""
    return replace(
        rollout, phase=Phase.ROLLING_BACK, ending=ending, replays=False, is_skipped=False, why=ending.message
    )


def reverting(rollout: Rollout, reason: RejectionReason, message: str, *, failure: str = "") -> Rollout:
    """Return the memory in which the revision before stable is on its way back. failure: class of that of stable's servers."""
    ending = Ending(phase=Phase.ROLLED_BACK, reason=reason, message=message, failure=failure)
    fresh = without_canary(rollout)
    return replace(
        fresh, phase=Phase.REVERTING, canary=rollout.previous, is_forced=True, ending=ending, why=ending.message
    )


def _with_rejection(moment: Moment, revision: str, reason: RejectionReason, ending: Ending) -> Rollout:
    rollout = moment.rollout
    found = Rejection(
        revision=revision,
        reason=reason,
        message=ending.message,
        failure=ending.failure,
        at=moment.now,
        spec_digest=moment.facts.spec.digest,
    )
    others = [known for known in rollout.rejected if known.revision != revision]
    return replace(rollout, rejected=tuple([*others, found][-_MOST_REJECTED:]))


def _told(rollout: Rollout, reason: str, message: str, *, warns: bool = False) -> Outcome:
    event = Event(type="Warning" if warns else "Normal", reason=reason, message=message)
    return Outcome(rollout=rollout, event=event)


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
    Transition.WITHDRAW: _withdraw,
    Transition.REJECT: _reject,
    Transition.SUPERSEDE: _supersede,
    Transition.TAKE_BACK: _take_back,
    Transition.END: _end,
    Transition.CONFIRM: _confirm,
    Transition.REVERT: _revert,
    Transition.DROP: _drop,
    Transition.FINISH: _finish,
    Transition.FORGET: _forget,
}
