"""The trigger that is a query of a user: its number above a threshold. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneloop_api.wire.durations import seconds
from tuneloop_operator.decide.gate_query import DEPLOYMENT, NAMESPACE, REVISION, query_problem
from tuneloop_operator.decide.model_deployment.retraining.triggers.evidence import (
    STALE,
    Measurement,
    Side,
    TriggerQuery,
    Unmeasured,
    numbers_of,
)
from tuneloop_operator.decide.model_deployment.retraining.triggers.hysteresis import Hold, held
from tuneloop_operator.prometheus.query import written

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from tuneloop_api.v1alpha1.model_deployment.retraining_triggers import Trigger
    from tuneloop_operator.decide.model_deployment.retraining.triggers.evidence import About, Reading
    from tuneloop_operator.decide.model_deployment.retraining.triggers.memory import Judged, TriggerMemory

VALUE = "value"
DEFAULT_FOR, DEFAULT_CLEAR_FOR = "1h", "2h"
_SPACING = 60.0
"""Seconds. Queries are asked every 30 s; a row of numbers is written into the status once a minute."""


def queries(trigger: Trigger, about: About, now: datetime) -> tuple[TriggerQuery, ...]:  # noqa: ARG001  (as all triggers)
    """Return the user's query with its names; nothing where acceptance would refuse the query."""
    text = trigger.query or ""
    if query_problem(text):
        return ()
    names = {NAMESPACE: about.namespace, DEPLOYMENT: about.deployment, REVISION: about.revision}
    return (TriggerQuery(trigger=trigger.name, part=VALUE, query=written(text, names)),)


def judge(
    trigger: Trigger,
    memory: TriggerMemory,
    readings: Mapping[str, Reading],
    about: About,  # noqa: ARG001  (as all triggers)
    now: datetime,
) -> Judged:
    """Return what the number says: beyond above the threshold, back at `clearThreshold` or below."""
    hold = Hold(
        fires_after=seconds(trigger.for_ or DEFAULT_FOR),
        clears_after=seconds(trigger.clear_for or DEFAULT_CLEAR_FOR),
        spacing=_SPACING,
        longest_gap=STALE,
        is_continuous=True,
    )
    return held(trigger, memory, _measured(trigger, readings, now), hold, now=now)


def _measured(trigger: Trigger, readings: Mapping[str, Reading], now: datetime) -> Measurement | Unmeasured:
    if problem := query_problem(trigger.query or ""):
        return Unmeasured(reason=problem)
    found = numbers_of(readings, (VALUE,), now=now)
    if isinstance(found, Unmeasured):
        return found
    value, threshold = found.values[VALUE], trigger.threshold or 0.0
    clear = threshold if trigger.clear_threshold is None else trigger.clear_threshold
    side = Side.BEYOND if value > threshold else Side.CLEAR if value <= clear else Side.BETWEEN
    above = f"{'above' if side is Side.BEYOND else 'at most'} the threshold {threshold:g}"
    reason = f"the query gives {value:.4g}, {above}"
    if side is Side.BETWEEN:
        reason += f", and not at clearThreshold {clear:g} yet"
    return Measurement(value=value, threshold=threshold, side=side, at=found.at, reason=reason)
