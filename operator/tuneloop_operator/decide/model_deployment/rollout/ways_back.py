"""The transitions that lead away from a canary, or back from a promoted revision: what they do, and the memory in which they are under way."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from tuneloop_operator.decide.model_deployment.rollout.capacity import full_count
from tuneloop_operator.decide.model_deployment.rollout.facts import breakage_of, failure_of
from tuneloop_operator.decide.model_deployment.rollout.in_force import with_split
from tuneloop_operator.decide.model_deployment.rollout.outcome import Outcome, announced
from tuneloop_operator.decide.model_deployment.rollout.reasons import why
from tuneloop_operator.decide.model_deployment.rollout.situation import Situation
from tuneloop_operator.decide.model_deployment.rollout.state import (
    Ending,
    Phase,
    Rejection,
    RejectionReason,
    without_canary,
)

if TYPE_CHECKING:
    from tuneloop_operator.decide.model_deployment.rollout.situation import Moment
    from tuneloop_operator.decide.model_deployment.rollout.state import Rollout

MOST_OUTAGES = 3
"""How often a canary may lose all its servers. Nodes are drained; a server that dies again and again is the model's."""
_MOST_REJECTED = 20


def withdraw(moment: Moment, situation: Situation) -> Outcome:
    """Take all requests away from a canary that has lost its servers; roll it back if that has happened too often."""
    rollout, facts = moment.rollout, moment.facts
    withdrawn = with_split(rollout, facts, weights=((rollout.stable, 100),))
    if rollout.phase in {Phase.ROLLING_BACK, Phase.REVERTING}:
        return Outcome(rollout=withdrawn)
    was_asked_for = full_count(rollout, facts) > 0  # else nobody is to blame
    outages = rollout.outages + was_asked_for
    withdrawn = replace(withdrawn, phase=Phase.STARTING, outages=outages, is_skipped=False, replays=False)
    if outages >= MOST_OUTAGES and not rollout.is_forced:
        message = f"{rollout.canary} lost all its servers {outages} times"
        failure = failure_of(facts, rollout.canary)
        return _rolling_back(withdrawn, RejectionReason.BROKEN, message, failure=failure)
    return announced(withdrawn, "CanaryDown", why(moment, situation), warns=True)


def reject(moment: Moment, situation: Situation) -> Outcome:
    """Roll back a canary that is not to be offered again."""
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
    return announced(rolling_back(rollout, ending), "RollingBack", message, warns=True)


def supersede(moment: Moment, situation: Situation) -> Outcome:
    """Let another revision take the place of the canary, which is not rejected."""
    ending = Ending(phase=Phase.DONE, reason=None, message=why(moment, situation))
    return announced(rolling_back(moment.rollout, ending), "Superseded", ending.message)


def take_back(moment: Moment, _: Situation) -> Outcome:
    """Give all requests back to stable."""
    return Outcome(rollout=with_split(moment.rollout, moment.facts, weights=((moment.rollout.stable, 100),)))


def end(moment: Moment, _: Situation) -> Outcome:
    """End a roll-out without a promotion."""
    rollout, ending = moment.rollout, moment.rollout.ending
    if ending is None:
        raise AssertionError("a roll-back knows how it ends")
    if ending.reason is not None:
        rollout = with_rejection(moment, rollout.canary, ending.reason, ending)
    ended = replace(without_canary(rollout), phase=ending.phase, why=ending.message)
    return announced(ended, "RolloutEnded", ending.message)


def revert(moment: Moment, situation: Situation) -> Outcome:
    """Begin to go back to the revision before stable."""
    broken = breakage_of(moment.facts, moment.rollout.stable)
    reason = RejectionReason.BROKEN if broken else RejectionReason.GATE_FAILED
    message, failure = why(moment, situation), failure_of(moment.facts, moment.rollout.stable) if broken else ""
    back = reverting(moment.rollout, reason, message, failure=failure)
    return announced(back, "RollingBack", message, warns=True)


def drop(moment: Moment, situation: Situation) -> Outcome:
    """Stop going back: the old revision cannot start either."""
    dropped = replace(without_canary(moment.rollout), phase=Phase.DONE, previous="", why=why(moment, situation))
    weights = ((dropped.stable, 100),)
    return announced(with_split(dropped, moment.facts, weights=weights), "RollbackFailed", dropped.why, warns=True)


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


def with_rejection(moment: Moment, revision: str, reason: RejectionReason, ending: Ending) -> Rollout:
    """Return the memory in which a revision is not offered again; the oldest ones make room for it."""
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
