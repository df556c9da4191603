"""Events that the memory of a roll-out holds. An operator may be killed between the write of the memory and its Events: the next one reports them.

Each has the time of its decision, from which its name follows: reported twice, it is one Event.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from pydantic import ValidationError

from tuneloop_api.v1alpha1.model_deployment.rollout_status import RolloutEvent, RolloutStatus
from tuneloop_operator.decide.decision import Event
from tuneloop_operator.decide.model_deployment.rollout.gate_records import sentence
from tuneloop_operator.decide.model_deployment.rollout.state import updated
from tuneloop_operator.state.conditions import moment, stamp

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from tuneloop_operator.cluster import Manifest
    from tuneloop_operator.decide.model_deployment.rollout.state import Rollout

MOST_EVENTS = 8
"""Of one decision there are about five at most."""
LONGEST_MESSAGE = 1024
"""Characters. An Event holds no more."""
_REPORTED_SECONDS = 1800.0
"""For so long an event may be reported again. The API server keeps Events for an hour: one that is older would come twice."""


def timed(events: Iterable[Event], *, now: datetime) -> tuple[Event, ...]:
    """Return events with the time of their decision, and as short as an Event is."""
    at = now.replace(microsecond=0)
    return tuple(replace(event, message=sentence(event.message, most=LONGEST_MESSAGE), at=at) for event in events)


def with_events(rollout: Rollout, events: tuple[Event, ...]) -> Rollout:
    """Return the memory with new events; the oldest ones make room for them."""
    return updated(rollout, recent_events=(*rollout.recent_events, *events)[-MOST_EVENTS:])


def events_to_report(manifest: Manifest, now: datetime) -> tuple[Event, ...]:
    """Return the events in the stored status of a ModelDeployment that were perhaps not reported."""
    try:
        status = RolloutStatus.from_wire((manifest.get("status") or {}).get("rollout"))
    except ValidationError:
        return ()
    found = map(read_event, status.recent_events or ())
    return tuple(event for event in found if is_recent(event, now))


def is_recent(event: Event, now: datetime) -> bool:
    """Whether an event may be reported again: the API server then still has the first one, and both are one."""
    return event.at is not None and (now - event.at).total_seconds() < _REPORTED_SECONDS


def written_event(event: Event) -> RolloutEvent:
    """Return an event as it stands in the status."""
    if event.at is None:
        raise AssertionError("an event of the memory has the time of its decision")
    return RolloutEvent(type=event.type, reason=event.reason, message=event.message, time=stamp(event.at))


def read_event(status: RolloutEvent) -> Event:
    """Return an event that a status holds."""
    return Event(type=status.type, reason=status.reason, message=status.message, at=moment(status.time))
