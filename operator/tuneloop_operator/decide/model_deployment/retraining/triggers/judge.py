"""All triggers: the queries of each, and its verdict. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tuneloop_operator.decide.model_deployment.retraining.triggers import (
    accuracy,
    drift,
    manual_token,
    new_data,
    promql,
    schedule,
)
from tuneloop_operator.decide.model_deployment.retraining.triggers.memory import begun, fields_of
from tuneloop_operator.state.conditions import stamp

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from tuneloop_api.v1alpha1.model_deployment.retraining_triggers import Trigger, TriggerType
    from tuneloop_operator.decide.model_deployment.retraining.triggers.evidence import About, Reading, TriggerQuery
    from tuneloop_operator.decide.model_deployment.retraining.triggers.memory import Judged, TriggerMemory


@dataclass(frozen=True, kw_only=True)
class TriggerKind:
    """What a type of trigger does."""

    queries: Callable[[Trigger, About, datetime], tuple[TriggerQuery, ...]]
    judge: Callable[[Trigger, TriggerMemory, Mapping[str, Reading], About, datetime], Judged]
    is_of_revision: bool = False
    """Whether it judges what the stable revision does. With another one it begins anew; a time, a token or a number of labels is the same for all."""


KINDS: dict[TriggerType, TriggerKind] = {
    "accuracy": TriggerKind(queries=accuracy.queries, judge=accuracy.judge, is_of_revision=True),
    "drift": TriggerKind(queries=drift.queries, judge=drift.judge, is_of_revision=True),
    "promql": TriggerKind(queries=promql.queries, judge=promql.judge, is_of_revision=True),
    "schedule": TriggerKind(queries=schedule.queries, judge=schedule.judge),
    "newData": TriggerKind(queries=new_data.queries, judge=new_data.judge),
    "manual": TriggerKind(queries=manual_token.queries, judge=manual_token.judge),
}


def queries_of(trigger: Trigger, about: About, *, now: datetime) -> tuple[TriggerQuery, ...]:
    """Return what is to be asked of Prometheus now."""
    return KINDS[trigger.type].queries(trigger, about, now)


def subject_of(trigger: Trigger, about: About) -> str:
    """Return what the answers to `queries_of` are about. An answer about another subject, such as the revision before a promotion, says nothing."""
    subject = about.revision if KINDS[trigger.type].is_of_revision else stamp(about.cutoff)
    return f"{subject}/{fields_of(trigger)}"


def judged(
    trigger: Trigger,
    memory: TriggerMemory | None,
    readings: Mapping[str, Reading],
    about: About,
    *,
    now: datetime,
) -> Judged:
    """Return what a trigger says now, and what it remembers. readings: by part, of the newest answers to `queries_of`; memory: None at the first look."""
    kind = KINDS[trigger.type]
    remembered = begun(trigger, memory, revision=about.revision if kind.is_of_revision else "")
    return kind.judge(trigger, remembered, readings, about, now)
