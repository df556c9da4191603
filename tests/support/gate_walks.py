"""Readings of a gate one after another, and counts of good and bad canaries."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from comparator_counts import STARTED, counts, live_counts, ratios

from tuneloop_api.contract.comparison import ComparisonCounts, PairCounts
from tuneloop_operator.decide.model_deployment.gate_readings import GatePlan, GateReading, gate_results
from tuneloop_operator.decide.model_deployment.gates.evidence import Missing
from tuneloop_operator.decide.model_deployment.gates.gate_memory import GateMemory
from tuneloop_operator.decide.model_deployment.gates.gate_spec import GateSpec, Metric

BEGAN = datetime.fromisoformat(STARTED)
ERRORS = GateSpec(name="errors", metric=Metric.ERRORS, margin=0.01)
LATENCY = GateSpec(name="latency", metric=Metric.LATENCY, margin=0.1)
AGREEMENT = GateSpec(name="agreement", metric=Metric.AGREEMENT, margin=0.05)
ACCURACY = GateSpec(name="accuracy", metric=Metric.GOLDEN_ACCURACY, margin=0.03)
CALIBRATION = GateSpec(name="calibration", metric=Metric.CALIBRATION, margin=0.05)
LIVE = [ERRORS, LATENCY, AGREEMENT]
PLAN = GatePlan(
    deployment="reviews",
    stable="03ab",
    canary="7d1f",
    min_requests=(1000, 1000, 1000),
    step=1,
    step_began=BEGAN,
    rollout_began=BEGAN,
    now=BEGAN + timedelta(seconds=30),
)
ANOTHER_START = "2026-11-29T11:00:00Z"


def ids(gate: GateSpec) -> str:
    return gate.name


class Walk:
    """A gate that is read again and again."""

    def __init__(self, gate: GateSpec, plan: GatePlan = PLAN) -> None:
        self.gate, self.plan = gate, plan
        self.memory: GateMemory | None = None

    def read(self, found: ComparisonCounts | Missing | None, *, after: float = 0.0, **plan: Any) -> GateReading:
        self.plan = replace(self.plan, now=self.plan.now + timedelta(seconds=after), **plan)
        (reading,) = gate_results([self.gate], found, self.plan, [self.memory] if self.memory else [])
        self.memory = reading.memory
        return reading

    def read_all(self, found: ComparisonCounts) -> GateReading:
        """Read until no look is due."""
        for _ in range(20):
            before = self.memory
            reading = self.read(found)
            if reading.memory == before:
                return reading
        raise AssertionError("a look was due 20 times at the same counts")


def good(rows: int, **fields: Any) -> ComparisonCounts:
    """An equal canary: it agrees, and takes stable's time."""
    return counts(live=PairCounts(agree=rows, latency_ratios=ratios(at_0=rows)), **fields)


def bad(gate: GateSpec, rows: int) -> ComparisonCounts:
    """A canary that is far worse on half of the requests."""
    half = rows // 2
    match gate.metric:
        case Metric.ERRORS:
            return live_counts(rows, canary_failed=half)
        case Metric.AGREEMENT:
            return live_counts(rows, disagree=half)
    return counts(live=PairCounts(agree=rows, latency_ratios=ratios(at_0=rows // 4, slow=rows - rows // 4)))
