"""The trigger that is a schedule: cron with a time zone. Pure.

It fires from its time on until a run has answered it, and no longer than `startingDeadline`. Of several times that were missed the newest counts.
Changes of the clock are met as Debian's cron does: what is left out comes right after the change, what is repeated comes once.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

from tuneloop_api.wire.durations import seconds
from tuneloop_operator.decide.model_deployment.retraining.triggers.memory import key_of, reported
from tuneloop_operator.decide.model_deployment.retraining.verdict import TriggerState
from tuneloop_operator.state.conditions import stamp

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tuneloop_api.v1alpha1.model_deployment.retraining_triggers import Trigger
    from tuneloop_operator.decide.model_deployment.retraining.triggers.evidence import About, Reading, TriggerQuery
    from tuneloop_operator.decide.model_deployment.retraining.triggers.memory import Judged, TriggerMemory

DEFAULT_ZONE = "Etc/UTC"
DEFAULT_DEADLINE = "1h"
_LEAST_DEADLINE = 60.0
"""Seconds. A look may come late, as after a change of the leader."""
_LONGEST_SLEEP = 600.0
"""Seconds. The clock may be set, and the rules of a time zone may change."""


def queries(trigger: Trigger, about: About, now: datetime) -> tuple[TriggerQuery, ...]:  # noqa: ARG001  (as all triggers)
    """Return nothing: a clock is all that a schedule needs."""
    return ()


def judge(
    trigger: Trigger,
    memory: TriggerMemory,
    readings: Mapping[str, Reading],  # noqa: ARG001  (as all triggers)
    about: About,
    now: datetime,
) -> Judged:
    """Return whether a time has come. The times before the first look count as met."""
    if problem := schedule_problem(trigger) or zone_problem(trigger):
        return reported(trigger, memory, TriggerState.UNKNOWN, problem, now=now)
    slot = newest_slot(trigger, now)
    if slot is None:
        return reported(trigger, memory, TriggerState.INACTIVE, "the schedule has no time before now", now=now)
    if memory.slot is None or memory.slot > now:  # > now: the clock went back
        memory = replace(memory, slot=slot, fired_key="")
    elif slot > memory.slot:
        memory = replace(memory, slot=slot, fired_key=key_of(memory, stamp(slot)))
    if not memory.fired_key:
        return reported(trigger, memory, TriggerState.INACTIVE, "no time has come since the first look", now=now)
    deadline = _deadline(trigger)
    if memory.fired_key in about.handled:
        state, reason = TriggerState.INACTIVE, f"the run of {stamp(slot)} was started"
    elif (now - slot).total_seconds() <= deadline:
        state, reason = TriggerState.FIRING, f"the time {stamp(slot)} has come"
    else:
        state, reason = TriggerState.INACTIVE, f"the time {stamp(slot)} was missed by more than {deadline / 60:.0f} min"
    return reported(trigger, memory, state, reason, now=now)


def seconds_to_look(trigger: Trigger, now: datetime) -> float:
    """Return the seconds until a look may find something else: the next time, or the end of the deadline of the newest one."""
    if schedule_problem(trigger) or zone_problem(trigger):
        return _LONGEST_SLEEP
    zone = ZoneInfo(trigger.time_zone or DEFAULT_ZONE)
    following, newest = next(CronSim(trigger.schedule or "", now.astimezone(zone)), None), newest_slot(trigger, now)
    times = [following] if following else []
    times += [newest + timedelta(seconds=_deadline(trigger))] if newest else []
    waits = [(time - now).total_seconds() + 1.0 for time in times if time >= now]
    return min((*waits, _LONGEST_SLEEP))


def newest_slot(trigger: Trigger, now: datetime) -> datetime | None:
    """Return the newest time of an accepted schedule that is not after now, in UTC; None: there is none."""
    zone = ZoneInfo(trigger.time_zone or DEFAULT_ZONE)
    after = now.replace(microsecond=0) + timedelta(seconds=1)
    slot = next(CronSim(trigger.schedule or "", after.astimezone(zone), reverse=True), None)
    return None if slot is None else slot.astimezone(UTC)


def _deadline(trigger: Trigger) -> float:
    return max(seconds(trigger.starting_deadline or DEFAULT_DEADLINE), _LEAST_DEADLINE)


def schedule_problem(trigger: Trigger) -> str:
    """Return why the schedule cannot be one, as a sentence without a full stop; empty if it can."""
    try:
        CronSim(trigger.schedule or "", datetime.min.replace(tzinfo=UTC))
    except CronSimError as error:
        return f"{trigger.schedule!r} is no schedule ({error}): must be minute, hour, day of the month, month and day of the week"
    return ""


def zone_problem(trigger: Trigger) -> str:
    """Return why the time zone is none, as a sentence without a full stop; empty if it is one."""
    try:
        ZoneInfo(trigger.time_zone or DEFAULT_ZONE)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return f"{trigger.time_zone!r} is no time zone of the IANA database"
    return ""
