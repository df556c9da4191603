"""Triggers, the answers that they get, and what they say one after another."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from tuneloop_api.v1alpha1.model_deployment.retraining_triggers import Trigger
from tuneloop_operator.decide.model_deployment.retraining.triggers.evidence import About, Reading
from tuneloop_operator.decide.model_deployment.retraining.triggers.judge import judged, queries_of
from tuneloop_operator.decide.model_deployment.retraining.triggers.memory import TriggerMemory
from tuneloop_operator.decide.model_deployment.retraining.verdict import TriggerState, TriggerVerdict
from tuneloop_operator.prometheus.answer import Number, Unanswered

BEGAN = datetime(2026, 3, 2, 12, tzinfo=UTC)
ABOUT = About(namespace="team", deployment="reviews", revision="7d1f0b2c", cutoff=BEGAN - timedelta(days=7))
MINUTE, HOUR, DAY = 60, 3600, 86400
NO_DATA = Unanswered(verdict="NoData", reason="the query has an empty result")
ERROR = Unanswered(verdict="Error", reason="no answer within 10 s")
INACTIVE, PENDING, FIRING, UNKNOWN = TriggerState


def trigger(type_: str, **fields: Any) -> Trigger:
    """Return a trigger of this type; fields by their names on the wire."""
    return Trigger.from_wire({"name": "watch", "type": type_} | fields)


PROMQL = trigger("promql", query="sum(a)", threshold=10)
ACCURACY = trigger("accuracy", below=0.9)
DRIFT = trigger("drift")


def readings(spec: Trigger, answer: float | Unanswered | Mapping[str, float], at: datetime) -> dict[str, Reading]:
    """Return the answers to all queries of a trigger."""
    found = {}
    for query in queries_of(spec, ABOUT, now=at):
        value = answer[query.part] if isinstance(answer, Mapping) else answer
        result = value if isinstance(value, Unanswered) else Number(value=value, at=at.timestamp())
        found[query.part] = Reading(answer=result, at=at)
    return found


class Walk:
    """A trigger that is looked at again and again, with its memory."""

    def __init__(self, spec: Trigger, *, about: About = ABOUT) -> None:
        self.spec = spec
        self.about = about
        self.memory: TriggerMemory | None = None

    def look(
        self, seconds: float, answer: float | Unanswered | Mapping[str, float] = NO_DATA, **about: Any
    ) -> TriggerVerdict:
        """Look so many seconds after the begin. about: what is another thing from now on."""
        self.about = replace(self.about, **about)
        now = BEGAN + timedelta(seconds=seconds)
        found = judged(self.spec, self.memory, readings(self.spec, answer, now), self.about, now=now)
        self.memory = found.memory
        return found.verdict

    def states(self, looks: Iterable[tuple[float, float | Unanswered | Mapping[str, float]]]) -> list[TriggerState]:
        """Return the state after each look."""
        return [self.look(*look).state for look in looks]


def every(
    step: float, answer: float | Unanswered | Mapping[str, float], *, begin: float = 0, end: float
) -> list[tuple[float, float | Unanswered | Mapping[str, float]]]:
    """Return looks with the same answer, `step` seconds apart; the last is at `end`."""
    return [(begin + number * step, answer) for number in range(int((end - begin) // step) + 1)]
