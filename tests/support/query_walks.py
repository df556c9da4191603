"""A gate with a query that is read again and again, at times of the test's choice."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from tuneloop_operator.decide.gate_query import Compare
from tuneloop_operator.decide.model_deployment.query_gates import QueryGate
from tuneloop_operator.decide.model_deployment.query_readings import query_results
from tuneloop_operator.prometheus.answer import Number, Unanswered
from tuneloop_operator.state.gate_inputs import QueryAnswer

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tuneloop_operator.decide.model_deployment.gate_readings import GateReading
    from tuneloop_operator.decide.model_deployment.gates.gate_memory import GateMemory
    from tuneloop_operator.prometheus.answer import Answer

BEGAN = datetime(2026, 11, 29, 12, tzinfo=UTC)
CANARY, STABLE = "7d1f0b2c", "03ab11f0"
EMPTY = Unanswered(verdict="NoData", reason="the query has an empty result")
BROKEN = Unanswered(verdict="Error", reason="no connection (Connection refused)")
GATE = QueryGate(
    name="truncated", query='sum(rate(t{revision="{{revision}}"}[1m]))', margin=1.0, compare=Compare.ABSOLUTE
)


def after(seconds: float) -> datetime:
    return BEGAN + timedelta(seconds=seconds)


def number(value: float) -> Number:
    return Number(value=value, at=0.0)


def answered(answer: Answer | float, *, at: float, gate: QueryGate = GATE, revision: str = CANARY) -> QueryAnswer:
    found = number(answer) if isinstance(answer, int | float) else answer
    return QueryAnswer(gate=gate.name, revision=revision, answer=found, at=after(at))


class Walk:
    """One gate in one step."""

    def __init__(self, gate: QueryGate = GATE, *, step: int = 1, began: float = 0.0, is_baking: bool = False) -> None:
        self.gate, self.step, self.began, self.is_baking = gate, step, began, is_baking
        self.memory: GateMemory | None = None
        self.stable = STABLE

    def read(self, *answers: QueryAnswer, at: float) -> GateReading:
        """Read these answers at this second of the walk."""
        (reading,) = query_results(
            [self.gate],
            answers,
            canary=CANARY,
            stable=self.stable,
            step=self.step,
            step_began=after(self.began - 1),  # the status has whole seconds: it may have begun a second later
            now=after(at),
            memories=[self.memory] if self.memory else [],
            is_baking=self.is_baking,
        )
        self.memory = reading.memory
        return reading

    def read_each_minute(self, *values: Answer | float, since: float = 60.0) -> GateReading:
        """Read one answer a minute; return the last reading."""
        readings = [
            self.read(answered(value, at=since + 60 * number, gate=self.gate), at=since + 60 * number)
            for number, value in enumerate(values)
        ]
        return readings[-1]

    def next_step(self, *, began: float) -> None:
        self.step, self.began = self.step + 1, began


def actions(walk: Walk, values: Iterable[Answer | float]) -> list[str]:
    """Return what the gate asked for after each answer, one a minute."""
    return [
        walk.read(answered(value, at=60.0 * minute, gate=walk.gate), at=60.0 * minute).summary.action.value
        for minute, value in enumerate(values, start=1)
    ]
