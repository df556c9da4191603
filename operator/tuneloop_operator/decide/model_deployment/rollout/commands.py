"""What a person may ask for in the middle of a roll-out. A command acts once: its token is remembered in the same write as its effect.

A command that does not apply when it comes is remembered too. Otherwise it would act on a later canary, which nobody meant.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from tuneloop_operator.decide.decision import Event
from tuneloop_operator.decide.model_deployment.rollout.capacity import is_in_window
from tuneloop_operator.decide.model_deployment.rollout.facts import Action, target_of
from tuneloop_operator.decide.model_deployment.rollout.in_force import refusing_routers, renewed
from tuneloop_operator.decide.model_deployment.rollout.state import Ending, Phase, RejectionReason, before_its_steps
from tuneloop_operator.decide.model_deployment.rollout.strategies import steps_of
from tuneloop_operator.decide.model_deployment.rollout.ways_back import reverting, rolling_back

if TYPE_CHECKING:
    from collections.abc import Callable

    from tuneloop_operator.decide.model_deployment.rollout.situation import Moment
    from tuneloop_operator.decide.model_deployment.rollout.state import Rollout

_MOST_TOKENS = 16
ON_THE_WAY = frozenset({Phase.STARTING, Phase.PROGRESSING, Phase.PAUSED, Phase.HELD, Phase.PROMOTING})
"""Phases with a canary that may still be promoted."""
_IN_A_STEP = frozenset({Phase.PROGRESSING, Phase.PAUSED, Phase.HELD})


def obeyed(moment: Moment) -> tuple[Rollout, Event | None]:
    """Return the memory after a person's command, and the Event that says so; unchanged if there is no new command."""
    rollout, command = moment.rollout, moment.facts.command
    if command is None or command.token in rollout.commands:
        return rollout, None
    noted = with_token(rollout, command.token)
    is_meant = command.revision in {"", revision_meant(moment, command.action)}
    after = _effect(replace(moment, rollout=noted), command.action) if is_meant else None
    if after is None:
        message = f"{command.action} does not apply: the roll-out is {rollout.phase}"
        return noted, Event(type="Warning", reason="CommandIgnored", message=message)
    return after, Event(reason="CommandObeyed", message=f"{command.action} of {revision_meant(moment, command.action)}")


def applies(moment: Moment, action: Action) -> bool:
    """Whether a command would do something now."""
    return _effect(moment, action) is not None


def _effect(moment: Moment, action: Action) -> Rollout | None:
    """Return the memory after a command; None if it does not apply. Whatever a person does, routers try a split again that they refused."""
    after = _EFFECTS[action](moment)
    if not refusing_routers(moment.rollout, moment.facts) or (after is None and action is not Action.RETRY):
        return after
    after = after or moment.rollout
    return renewed(after, moment.facts) if after.split == moment.rollout.split else after


def with_token(rollout: Rollout, token: str) -> Rollout:
    """Return the memory of a command that was given, so that it is never carried out again."""
    return replace(rollout, commands=(*rollout.commands, token)[-_MOST_TOKENS:])


def revision_meant(moment: Moment, action: Action) -> str:
    """Return the revision that a command is about now. Since it was given, another one may have taken the place of the one that was meant."""
    rollout = moment.rollout
    return rollout.canary or (target_of(rollout, moment.facts) if action is Action.RETRY else rollout.stable)


def _promote(moment: Moment) -> Rollout | None:
    """Promote the canary; also one that should go back and cannot, because stable has no server: that may last."""
    rollout = moment.rollout
    cannot_go_back = rollout.phase is Phase.ROLLING_BACK and rollout.split.weight_of(rollout.canary) > 0
    if rollout.phase not in ON_THE_WAY and not cannot_go_back:
        return None
    return replace(rollout, phase=Phase.PROMOTING, is_forced=True, ending=None, replays=False, why="")


def _abort(moment: Moment) -> Rollout | None:
    rollout = moment.rollout
    if rollout.phase not in ON_THE_WAY:
        return None
    message = f"a person aborted the roll-out of {rollout.canary}"
    return rolling_back(rollout, Ending(phase=Phase.ABORTED, reason=RejectionReason.ABORTED, message=message))


def _retry(moment: Moment) -> Rollout | None:
    """Begin anew with a canary that is held, or offer a rejected revision again. A canary that goes on by itself would lose its steps."""
    rollout = moment.rollout
    if rollout.phase in ON_THE_WAY - {Phase.HELD}:
        return None
    if rollout.phase is Phase.HELD:
        return replace(before_its_steps(rollout), phase=Phase.STARTING, started=moment.now)
    target = target_of(rollout, moment.facts)
    kept = tuple(found for found in rollout.rejected if found.revision != target)
    return replace(rollout, rejected=kept) if kept != rollout.rejected else None


def _skip(moment: Moment) -> Rollout | None:
    rollout = moment.rollout
    if rollout.phase not in _IN_A_STEP:
        return None
    return replace(_with_new_time(moment), phase=Phase.PROGRESSING, is_skipped=True, why="")


def _approve(moment: Moment) -> Rollout | None:
    """Approve the next thing that needs it: the pause of this or a later step, else the promotion."""
    rollout, spec = _with_new_time(moment), moment.facts.spec
    if rollout.phase not in ON_THE_WAY:
        return None
    for index, step in enumerate(steps_of(rollout, spec)):
        if step.pause and index >= rollout.step and index not in rollout.approved_steps:
            return replace(rollout, approved_steps=(*rollout.approved_steps, index))
    return replace(rollout, is_approved=True) if spec.manual_approval and not rollout.is_approved else None


def _with_new_time(moment: Moment) -> Rollout:
    """Return the memory in which `maxDuration` counts anew, if the roll-out waited for a person: that may have taken a weekend."""
    rollout = moment.rollout
    return replace(rollout, started=moment.now) if rollout.phase in {Phase.PAUSED, Phase.HELD} else rollout


def _roll_back(moment: Moment) -> Rollout | None:
    rollout = moment.rollout
    if rollout.phase in ON_THE_WAY:
        message = f"a person rolled {rollout.canary} back"
        ending = Ending(phase=Phase.ROLLED_BACK, reason=RejectionReason.ROLLED_BACK, message=message)
        return rolling_back(rollout, ending)
    if rollout.canary or not is_in_window(rollout, moment.facts.spec, now=moment.now):
        return None
    return reverting(rollout, RejectionReason.ROLLED_BACK, f"a person rolled {rollout.stable} back")


_EFFECTS: dict[Action, Callable[[Moment], Rollout | None]] = {
    Action.PROMOTE: _promote,
    Action.ABORT: _abort,
    Action.RETRY: _retry,
    Action.SKIP: _skip,
    Action.APPROVE: _approve,
    Action.ROLL_BACK: _roll_back,
}
