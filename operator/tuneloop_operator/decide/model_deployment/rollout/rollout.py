"""What to do next in a roll-out: the memory and the facts in, the memory and what people are told out. The same input gives the same output.

Whoever calls writes the memory first, then gives its split to the routers, then sets the numbers of servers. Each of these follows from the
memory, so that it does not matter after which of them the operator is killed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tuneloop_operator.decide.decision import Event
from tuneloop_operator.decide.model_deployment.rollout.capacity import full_count
from tuneloop_operator.decide.model_deployment.rollout.commands import obeyed
from tuneloop_operator.decide.model_deployment.rollout.facts import ready_of
from tuneloop_operator.decide.model_deployment.rollout.in_force import new_refusals, noted_reports
from tuneloop_operator.decide.model_deployment.rollout.reasons import refusal
from tuneloop_operator.decide.model_deployment.rollout.situation import Moment, counted_requests, measurements_of
from tuneloop_operator.decide.model_deployment.rollout.state import Phase, Rollout, Split, updated
from tuneloop_operator.decide.model_deployment.rollout.state_machine import transition_of
from tuneloop_operator.decide.model_deployment.rollout.strategies import step_of
from tuneloop_operator.decide.model_deployment.rollout.transitions import TRANSITIONS

if TYPE_CHECKING:
    from datetime import datetime

    from tuneloop_operator.decide.model_deployment.rollout.facts import Facts

_MOST_TRANSITIONS = 32
"""In one decision. The longest way has about ten."""


@dataclass(frozen=True, kw_only=True)
class NextRollout:
    """What follows."""

    rollout: Rollout
    events: tuple[Event, ...] = ()
    requeue_after: float | None = None
    """Seconds after which to decide again even if nothing changes."""


def decide(rollout: Rollout | None, facts: Facts, *, now: datetime) -> NextRollout:
    """Return what follows from the memory and the facts. rollout: None if nothing is remembered."""
    before = rollout or begun(facts)
    moment = Moment(rollout=_noted(before, facts, now=now), facts=facts, now=now)
    events = [
        Event(type="Warning", reason="SplitRefused", message=refusal(router))
        for router in new_refusals(before, moment.rollout)
    ]
    after, event = obeyed(moment)
    after = _noted(after, facts, now=now) if event else after
    events += [event] if event else []
    for _ in range(_MOST_TRANSITIONS):
        moment = Moment(rollout=after, facts=facts, now=now)
        transition, situation = transition_of(moment)
        outcome = TRANSITIONS[transition](moment, situation)
        if outcome.rollout == after:
            break
        after = _noted(outcome.rollout, facts, now=now)
        events += [outcome.event] if outcome.event else []
    return NextRollout(rollout=after, events=tuple(events), requeue_after=_requeue_after(after, facts, now=now))


def begun(facts: Facts) -> Rollout:
    """Return the memory of a deployment that has none: what serves now is stable, else what is offered.

    A memory that was lost in the middle of a roll-out is found again in this way: the canary starts anew, and nothing is promoted blindly.
    """
    stable = facts.serving or facts.pinned or facts.offered
    split = Split(generation=1, weights=((stable, 100),), settings=facts.settings)
    return Rollout(strategy=facts.spec.strategy, stable=stable, has_served=bool(facts.serving), split=split)


def _noted(rollout: Rollout, facts: Facts, *, now: datetime) -> Rollout:
    """Return the memory with what is observed and only remembered."""
    rollout = noted_reports(rollout, facts)
    is_awake = rollout.canary and full_count(rollout, facts) > 0
    rollout = updated(
        rollout,
        # a strategy that the spec names in the middle waits for the next roll-out
        strategy=rollout.strategy if rollout.canary else facts.spec.strategy,
        has_served=rollout.has_served or ready_of(facts, rollout.stable) > 0,
        started=now if is_awake and rollout.started is None else rollout.started,
    )
    moment = Moment(rollout=rollout, facts=facts, now=now)
    measured = measurements_of(moment)
    return updated(rollout, requests=counted_requests(moment), gates=measured.gates if measured else ())


def _requeue_after(rollout: Rollout, facts: Facts, *, now: datetime) -> float | None:
    """Return the seconds until the next moment at which time alone changes something."""
    spec = facts.spec
    ends: list[tuple[datetime | None, float]] = []
    if rollout.phase is Phase.BAKING:
        ends.append((rollout.promoted, spec.baking))
    if rollout.previous:
        ends.append((rollout.promoted, spec.window))
    if rollout.phase in {Phase.STARTING, Phase.PROGRESSING}:
        # a moment behind its end, since a roll-out may last just as long
        ends.append((rollout.started, spec.max_duration + 1.0))
    if rollout.phase is Phase.PROGRESSING:
        ends.append((rollout.step_started, step_of(rollout, spec).min_duration))
    waits = [length - (now - since).total_seconds() for since, length in ends if since is not None]
    return min((wait for wait in waits if wait > 0), default=None)
