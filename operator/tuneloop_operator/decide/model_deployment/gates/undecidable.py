"""Which `minRequests` cannot decide a gate, before the roll-out: what acceptance refuses.

A step decides with the requests up to its last end. The golden set's gates are not among these: how many rows it has is known once the comparator has
read it.
"""

from __future__ import annotations

import functools
import math
from bisect import bisect_right
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tuneloop_operator.decide.model_deployment.gates.evidence import percent
from tuneloop_operator.decide.model_deployment.gates.gate_spec import Metric
from tuneloop_operator.decide.model_deployment.gates.latency import EDGES
from tuneloop_operator.decide.model_deployment.gates.looks import planned_looks
from tuneloop_operator.decide.model_deployment.gates.power import (
    REQUIRED_POWER,
    Bounding,
    Expected,
    Pairing,
    Power,
    Timing,
    power_of,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tuneloop_operator.decide.model_deployment.gates.gate_spec import GateSpec

_DISCORDANT_ERRORS = 0.006
"""Two equal servers that each fail 0.3 % of the requests, and seldom the same ones."""
_LATENCY_NOISE = 0.3
"""Standard deviation of log(canary's time / stable's time) of equal models on the same request, as in docs/results.md."""
_EQUAL_DISAGREEMENT = 0.5
"""Of the bound: a canary that is as good as is asked for disagrees half as often as it may."""


@dataclass(frozen=True, kw_only=True)
class StepSize:
    """`minRequests` of a step that gates test, and its field."""

    field: str
    """For example `spec.rollout.steps[0].minRequests`."""
    requests: int


def undecidable(gates: Sequence[GateSpec], steps: Sequence[StepSize]) -> tuple[str, ...]:
    """Return a sentence for each step and gate for which even the last end of the step would pass an equal model too seldom.

    All steps together are to pass it with `REQUIRED_POWER`, so each of more steps must do so more often. Gates on trial are let be.
    """
    return tuple(
        sentence
        for gate in gates
        if not gate.dry_run and not gate.is_on_golden_rows
        for sentence in _of_gate(gate, steps)
    )


def _of_gate(gate: GateSpec, steps: Sequence[StepSize]) -> list[str]:
    sentences = []
    for step in steps:
        if step.requests < 1:
            sentences.append(
                f"{step.field}: {step.requests} was given, gate {gate.name} needs at least 1; example: 1000"
            )
        elif (power := _lacking(gate, step.requests, steps=len(steps))) is not None:
            sentences.append(_sentence(gate, step, power))
    return sentences


@functools.lru_cache(maxsize=1024)  # a spec is looked at again and again, and an answer takes up to a second
def _lacking(gate: GateSpec, requests: int, *, steps: int) -> Power | None:
    """Return the power of a step by its last end if it is too little; None if it is enough."""
    ends, margin, expected = gate.limits.inconclusive, _margin(gate), _expected(gate)
    levels = planned_looks([1] * steps, alpha=gate.alpha, inconclusive_limit=ends)[0].levels
    required = REQUIRED_POWER ** (1 / steps)
    if expected.chances(ends * requests, 0.0, margin=margin, levels=levels).to_pass >= required:
        return None
    return power_of(
        expected,
        sample=ends * requests,
        ends=1,
        margin=margin,
        worse_by=2 * margin,
        levels=levels,
        required=required,
    )


def _margin(gate: GateSpec) -> float:
    """Return the margin that the gate can use: the limit of a median is an edge of the histogram, so the edge below decides."""
    if gate.metric is not Metric.LATENCY:
        return gate.margin
    place = bisect_right(EDGES, gate.margin)
    return EDGES[place - 1] if place else gate.margin


def _expected(gate: GateSpec) -> Expected:
    match gate.metric:
        case Metric.LATENCY:
            return Timing(noise=_LATENCY_NOISE)
        case Metric.AGREEMENT:
            return Bounding(base_rate=_EQUAL_DISAGREEMENT * gate.margin)
    return Pairing(discordant=_DISCORDANT_ERRORS)


def _sentence(gate: GateSpec, step: StepSize, power: Power) -> str:
    ends = gate.limits.inconclusive
    what = f"{step.field}: {step.requests} was given, which cannot decide gate {gate.name} with a margin of {percent(gate.margin)}"
    if power.least is None:
        return f"{what}, and no number can; set a wider margin; example: margin: {_wider(gate):g}"
    least = math.ceil(power.least / ends)
    return (
        f"{what}: an equal model would pass with {_chance(power.passes_equal)} by the last of {ends} ends; at least {least} is needed, "
        f"and {power.least} decides at the first end; example: {_round_up(power.least)}"
    )


def _wider(gate: GateSpec) -> float:
    return max(2 * gate.margin, 0.01)


def _chance(probability: float) -> str:
    return "under 1 %" if probability < 0.01 else f"{100 * probability:.0f} %"


def _round_up(number: int) -> int:
    """Return a number that people would write: 1224 → 1300."""
    unit = int(10 ** max(0, len(str(number)) - 2))
    return math.ceil(number / unit) * unit
