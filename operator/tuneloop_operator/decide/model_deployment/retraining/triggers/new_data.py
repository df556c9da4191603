"""The trigger on new data: enough labels have come since the last run. Pure."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from tuneloop_operator.decide.gate_query import DEPLOYMENT, NAMESPACE
from tuneloop_operator.decide.model_deployment.retraining.triggers.evidence import TriggerQuery, Unmeasured, numbers_of
from tuneloop_operator.decide.model_deployment.retraining.triggers.memory import key_of, reported
from tuneloop_operator.decide.model_deployment.retraining.verdict import TriggerState
from tuneloop_operator.prometheus.query import equals, increase
from tuneloop_operator.state.conditions import stamp

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from tuneloop_api.v1alpha1.model_deployment.retraining_triggers import Trigger
    from tuneloop_operator.decide.model_deployment.retraining.triggers.evidence import About, Reading
    from tuneloop_operator.decide.model_deployment.retraining.triggers.memory import Judged, TriggerMemory

COUNT = "count"
_MINUTE = 60
_LONGEST = 90 * 86400
"""Seconds. Older rows are not kept, and a longer query is too much for Prometheus."""


def queries(trigger: Trigger, about: About, now: datetime) -> tuple[TriggerQuery, ...]:
    """Return the query for the labels since the last run, whoever took them, whichever revision predicted."""
    since = int((now - about.cutoff).total_seconds()) // _MINUTE * _MINUTE
    return (labels_query(trigger, about, seconds=min(max(since, _MINUTE), _LONGEST)),)


def labels_query(trigger: Trigger, about: About, *, seconds: int) -> TriggerQuery:
    """Return the query for the labels of the last `seconds`."""
    of = (equals(NAMESPACE, about.namespace), equals(DEPLOYMENT, about.deployment))
    return TriggerQuery(
        trigger=trigger.name, part=COUNT, query=increase("tuneloop_feedback_total", *of, seconds=seconds)
    )


def judge(
    trigger: Trigger, memory: TriggerMemory, readings: Mapping[str, Reading], about: About, now: datetime
) -> Judged:
    """Return whether there are enough. A run moves the time from which labels count, so there is one key for each run."""
    memory = replace(memory, fired_key="")
    found = numbers_of(readings, (COUNT,), now=now, no_data="no label was counted yet")
    if isinstance(found, Unmeasured):
        return reported(trigger, memory, TriggerState.UNKNOWN, found.reason, now=now)
    count, wanted = found.values[COUNT], trigger.min_new_samples or 1
    reason = f"{count:.0f} labels since {stamp(about.cutoff)}; {wanted} are wanted"
    key = key_of(memory, stamp(about.cutoff))
    state = TriggerState.FIRING if count >= wanted and key not in about.handled else TriggerState.INACTIVE
    if state is TriggerState.FIRING:
        memory = replace(memory, fired_key=key)
    return reported(trigger, memory, state, reason, now=now, value=count, threshold=wanted)
