"""Which triggers cannot work: what the API server cannot check of a schedule, a time zone, a query."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneloop_operator.decide.gate_query import query_problem
from tuneloop_operator.decide.model_deployment.retraining.triggers.schedule import schedule_problem, zone_problem
from tuneloop_operator.decide.refusal import Refusal

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tuneloop_api.v1alpha1.model_deployment.retraining_triggers import Trigger

_LONGEST_VALUE = 100


def trigger_refusals(triggers: Iterable[Trigger]) -> Iterator[Refusal]:
    """Yield why triggers of `spec.retraining.triggers` cannot work."""
    for number, trigger in enumerate(triggers):
        field = f"spec.retraining.triggers[{number}]"
        if trigger.query is not None and (problem := query_problem(trigger.query)):
            yield Refusal(
                reason="InvalidQuery",
                field=f"{field}.query",
                given=ascii(trigger.query)[:_LONGEST_VALUE],
                allowed=problem,
                example='query: sum(rate(app_complaints_total{model="{{deployment}}"}[1h]))',
            )
        if trigger.schedule is not None and (problem := schedule_problem(trigger)):
            yield Refusal(
                reason="InvalidSchedule",
                field=f"{field}.schedule",
                given=trigger.schedule,
                allowed=problem,
                example='schedule: "30 2 * * 6"',
            )
        if trigger.time_zone is not None and (problem := zone_problem(trigger)):
            yield Refusal(
                reason="InvalidTimeZone",
                field=f"{field}.timeZone",
                given=trigger.time_zone,
                allowed=problem,
                example="timeZone: Europe/Berlin",
            )
