"""What `minRequests` can decide of a gate, before the roll-out: what acceptance refuses, and what `validate` says.

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
from tuneloop_operator.decide.model_deployment.gates.looks import planned_looks, single_look
from tuneloop_operator.decide.model_deployment.gates.power import (
    REQUIRED_POWER,
    Bounding,
    Calibrating,
    Chances,
    Expected,
    Pairing,
    Power,
    Resembling,
    Timing,
    least_sample,
    power_of,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tuneloop_operator.decide.model_deployment.gates.gate_spec import GateSpec

_DISCORDANT_ERRORS = 0.006
"""Two equal servers that each fail 0.3 % of the requests, and seldom the same ones."""
_DISCORDANT_ANSWERS = 0.1
"""Of two equal models on the same labelled rows: one row in ten is wrong in one of them alone."""
_GAP_NOISE = 0.3
"""Standard deviation of the difference of two equal models' gaps of confidence and correctness on a row."""
_SIMILARITY_NOISE = 0.25
"""Standard deviation of the difference of two equal models' similarities to the reference of a row."""
_LATENCY_NOISE = 0.3
"""Standard deviation of log(canary's time / stable's time) of equal models on the same request, as in docs/results.md."""
_MANY = 100_000
"""Samples that are tried before more, which take longer to count."""
_WORSE = 2
"""Times the margin: how much worse the model is that a gate is to catch."""
_EQUAL_DISAGREEMENT = 0.5
"""Of the bound: a canary that is as good as is asked for disagrees half as often as it may."""


@dataclass(frozen=True, kw_only=True)
class StepSize:
    """`minRequests` of a step that gates test, and its field."""

    field: str
    """For example `spec.rollout.steps[0].minRequests`."""
    requests: int
    is_default: bool = False
    """Whether the spec does not name it."""


@dataclass(frozen=True, kw_only=True)
class Undecidable:
    """A number of requests that decides too little."""

    field: str
    given: str
    why: str
    """What it cannot decide, and which number can."""
    example: str


def undecidable(gates: Sequence[GateSpec], steps: Sequence[StepSize]) -> tuple[Undecidable, ...]:
    """Return an entry for each step and gate for which even the last end of the step would pass an equal model too seldom.

    All steps together are to pass it with `REQUIRED_POWER`, so each of more steps must do so more often. Gates on trial are let be.
    """
    return tuple(
        found for gate in gates if not gate.dry_run and not gate.is_on_golden_rows for found in _of_gate(gate, steps)
    )


def _of_gate(gate: GateSpec, steps: Sequence[StepSize]) -> list[Undecidable]:
    enough = _first_enough(gate, steps)
    return [_undecidable(gate, step, steps=len(steps)) for step in steps if enough is None or step.requests < enough]


def _first_enough(gate: GateSpec, steps: Sequence[StepSize]) -> int | None:
    """Return the least of the given numbers that decides: what decides in one step decides with more."""
    numbers = sorted({step.requests for step in steps})
    return next((number for number in numbers if _decides(gate, number, steps=len(steps))), None)


def _decides(gate: GateSpec, requests: int, *, steps: int) -> bool:
    sample = gate.limits.inconclusive * requests
    # what decides with fewer decides with more
    return any(
        _passes_equal(gate, number, steps=steps) >= _required(steps) for number in sorted({min(sample, _MANY), sample})
    )


@functools.lru_cache(maxsize=4096)  # a spec is looked at again and again
def _passes_equal(gate: GateSpec, sample: int, *, steps: int) -> float:
    """Return the chance that a step with so many requests by its last end passes an equal model."""
    levels = planned_looks([1] * steps, alpha=gate.alpha, inconclusive_limit=gate.limits.inconclusive)[0].levels
    chances: Chances = _expected(gate).chances(sample, 0.0, margin=_margin(gate), levels=levels)
    return chances.to_pass


@functools.lru_cache(maxsize=256)  # it takes up to a few seconds
def _least(gate: GateSpec, *, steps: int) -> int | None:
    return least_sample(functools.partial(_passes_equal, gate, steps=steps), _required(steps))


def power_in_a_step(gate: GateSpec, requests: int, *, steps: int) -> Power:
    """Return what a gate on copies of requests can decide in one of so many steps."""
    levels = planned_looks([1] * steps, alpha=gate.alpha, inconclusive_limit=gate.limits.inconclusive)[0].levels
    margin = _margin(gate)
    return power_of(
        _expected(gate),
        sample=requests,
        ends=gate.limits.inconclusive,
        margin=margin,
        worse_by=_WORSE * margin,
        levels=levels,
        required=_required(steps),
    )


@functools.lru_cache(maxsize=256)  # it takes up to a few seconds
def requests_to_catch(gate: GateSpec, *, steps: int) -> int | None:
    """Return how many requests in one of so many steps fail a model that is worse by twice the margin with `REQUIRED_POWER`; None: no number does."""
    levels = planned_looks([1] * steps, alpha=gate.alpha, inconclusive_limit=gate.limits.inconclusive)[0].levels
    expected, margin = _expected(gate), _margin(gate)
    return least_sample(
        lambda sample: expected.chances(sample, _WORSE * margin, margin=margin, levels=levels).to_fail, REQUIRED_POWER
    )


def golden_rows_needed(gate: GateSpec) -> int | None:
    """Return how many golden rows pass an equal model with `REQUIRED_POWER` at the only look; None: no number does."""
    (look,) = single_look(1, alpha=gate.alpha)
    expected = _expected(gate)
    return least_sample(
        lambda rows: expected.chances(rows, 0.0, margin=gate.margin, levels=look.levels).to_pass, REQUIRED_POWER
    )


def _required(steps: int) -> float:
    return float(REQUIRED_POWER ** (1 / steps))


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
        case Metric.CALIBRATION:
            return Calibrating(noise=_GAP_NOISE)
        case Metric.GENERATION_QUALITY:
            return Resembling(noise=_SIMILARITY_NOISE)
        case Metric.GOLDEN_ACCURACY:
            return Pairing(discordant=_DISCORDANT_ANSWERS)
    return Pairing(discordant=_DISCORDANT_ERRORS)


def _undecidable(gate: GateSpec, step: StepSize, *, steps: int) -> Undecidable:
    ends, least = gate.limits.inconclusive, _least(gate, steps=steps)
    given = f"{step.requests}, the default" if step.is_default else f"{step.requests}"
    what = f"it cannot decide gate {gate.name} with a margin of {percent(gate.margin)}"
    if least is None:
        why, example = f"{what}, and no number can: set a wider margin", f"margin: {_wider(gate):g}"
    else:
        passes = _passes_equal(gate, ends * step.requests, steps=steps)
        why = (
            f"{what}: an equal model would pass with {_chance(passes)} by the last of {ends} ends; at least {math.ceil(least / ends)} is needed, "
            f"and {least} decides at the first end"
        )
        example = f"{_round_up(least)}"
    return Undecidable(field=step.field, given=given, why=why, example=example)


def _wider(gate: GateSpec) -> float:
    return max(2 * gate.margin, 0.01)


def _chance(probability: float) -> str:
    return "under 1 %" if probability < 0.01 else f"{100 * probability:.0f} %"


def _round_up(number: int) -> int:
    """Return a number that people would write: 1224 → 1300."""
    unit = int(10 ** max(0, len(str(number)) - 2))
    return math.ceil(number / unit) * unit
