"""News of the loop, as Events. They follow from the memory, so that the next operator reports those that one which was killed did not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneloop_operator.decide.decision import Event
from tuneloop_operator.decide.model_deployment.retraining.state import SETBACKS, BlockedReason, Outcome

if TYPE_CHECKING:
    from tuneloop_operator.decide.model_deployment.retraining.state import Loop, Record, Run

_LONGEST_MESSAGE = 1024
_WARNS = SETBACKS | {Outcome.NO_NEW_DATA}
_EXPECTED = frozenset({None, BlockedReason.RUN_IN_FLIGHT, BlockedReason.DRY_RUN})
"""Blocks without an Event: the run itself has had one."""


def events_between(before: Loop, after: Loop) -> tuple[Event, ...]:
    """Return the Events of one decision."""
    known = {record.run.name for record in before.history}
    ended = tuple(_ended(record) for record in after.history if record.run.name not in known)
    run, old = after.run, before.run
    started = (_started(run),) if run is not None and (old is None or old.name != run.name) else ()
    is_news = after.blocked not in _EXPECTED and after.blocked != before.blocked
    blocked = (_event("Warning", "RetrainingBlocked", after.why),) if is_news else ()
    return (*ended, *started, *blocked)


def last_events(loop: Loop) -> tuple[Event, ...]:
    """Return the Events of the newest runs, which were perhaps not reported."""
    ended = tuple(map(_ended, loop.history[-1:]))
    return (*ended, _started(loop.run)) if loop.run else ended


def _started(run: Run) -> Event:
    text = f"FineTuneJob {run.name} is created, for trigger {run.trigger}"
    return Event(reason="RetrainingStarted", message=text[:_LONGEST_MESSAGE], at=run.started)


def _ended(record: Record) -> Event:
    type_ = "Warning" if record.outcome in _WARNS else "Normal"
    text = f"run {record.run.name} ended as {record.outcome}: {record.reason}"
    found = _event(type_, f"Retraining{record.outcome}", text)
    return Event(type=found.type, reason=found.reason, message=found.message, at=record.ended)


def _event(type_: str, reason: str, text: str) -> Event:
    message = text[:_LONGEST_MESSAGE]
    return Event(type="Warning" if type_ == "Warning" else "Normal", reason=reason, message=message)
