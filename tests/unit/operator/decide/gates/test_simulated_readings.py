"""4,000 roll-outs over three steps, whose counts grow over all of them: equal models are promoted, worse ones are not."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pytest
from comparator_counts import STARTED, counts, ratios
from scipy import stats

from tuneloop_api.contract.comparison import ComparisonCounts, PairCounts
from tuneloop_operator.decide.model_deployment.gate_readings import GatePlan, gate_results, looks_of
from tuneloop_operator.decide.model_deployment.gates.gate_memory import GateMemory
from tuneloop_operator.decide.model_deployment.gates.gate_spec import GateSpec, Metric
from tuneloop_operator.decide.model_deployment.gates.power import REQUIRED_POWER
from tuneloop_operator.decide.model_deployment.gates.undecidable import StepSize, undecidable
from tuneloop_operator.decide.model_deployment.gates.verdict import GateAction

ROLLOUTS = 400
STEPS = 3
REQUESTS = 800
ALPHA = 0.05
BASE = 0.003
"""Requests that only stable fails, and with equal models as many that only the canary fails."""
ERRORS = GateSpec(name="errors", metric=Metric.ERRORS, margin=0.01, alpha=ALPHA)
LATENCY = GateSpec(name="latency", metric=Metric.LATENCY, margin=0.1, alpha=ALPHA)
AGREEMENT = GateSpec(name="agreement", metric=Metric.AGREEMENT, margin=0.05, alpha=ALPHA)
BEGAN = datetime.fromisoformat(STARTED)
ANOTHER_START = "2026-11-29T10:40:00Z"


def most(share: float) -> int:
    """Return what a count of this share exceeds in 1 of 10,000 tries."""
    return int(stats.binom.ppf(1 - 1e-4, ROLLOUTS, share))


class Traffic:
    """Requests of one roll-out as the comparator counts them. It may be restarted, which takes its counts away."""

    def __init__(self, gate: GateSpec, worse: float, rng: np.random.Generator) -> None:
        self.gate, self.worse, self.rng = gate, worse, rng
        self.started_at = STARTED
        self.rows = self.canary_only = self.stable_only = 0

    def grow(self, requests: int) -> None:
        canary = {Metric.ERRORS: BASE + self.worse, Metric.LATENCY: 0.5 + self.worse, Metric.AGREEMENT: self.worse}
        stable = BASE if self.gate.metric is Metric.ERRORS else 0.0
        share = canary[self.gate.metric]
        drawn = self.rng.multinomial(requests, [share, stable, 1 - share - stable])
        self.rows += requests
        self.canary_only += int(drawn[0])
        self.stable_only += int(drawn[1])

    def restart(self) -> None:
        self.started_at = ANOTHER_START
        self.rows = self.canary_only = self.stable_only = 0

    def counts(self) -> ComparisonCounts:
        worse, rest = self.canary_only, self.rows - self.canary_only - self.stable_only
        match self.gate.metric:
            case Metric.ERRORS:
                live = PairCounts(agree=rest, canary_failed=worse, stable_failed=self.stable_only)
            case Metric.AGREEMENT:
                live = PairCounts(agree=rest, disagree=worse)
            case _:
                live = PairCounts(agree=self.rows, latency_ratios=ratios(at_0=rest, slow=worse))
        return counts(live=live, started_at=self.started_at)


def promoted(
    gate: GateSpec, traffic: Traffic, *, requests: int = REQUESTS, restart_at: tuple[int, int] | None = None
) -> GateAction:
    """Return what becomes of one roll-out: Advance if every step passes."""
    memory: GateMemory | None = None
    sizes = sorted({look.samples for look in looks_of(gate, (requests,) * STEPS)})
    for step in range(1, STEPS + 1):
        plan = GatePlan(
            deployment="reviews",
            stable="03ab",
            canary="7d1f",
            min_requests=(requests,) * STEPS,
            step=step,
            step_began=BEGAN + timedelta(minutes=30 * (step - 1)),
            rollout_began=BEGAN,
            now=BEGAN + timedelta(minutes=30 * step),
        )
        # the step begins: the counts are read before its first request
        action, grown = GateAction.HOLD, 0
        for place, size in enumerate([0, *sizes, *sizes]):
            traffic.grow(max(size - grown, 0))
            grown = max(size, grown)
            if restart_at == (step, place):
                traffic.restart()
                grown = 0
            (reading,) = gate_results([gate], traffic.counts(), plan, [memory] if memory else [])
            memory, action = reading.memory, reading.summary.action
            if action is not GateAction.HOLD:
                break
        if action is not GateAction.ADVANCE:
            return action
    return GateAction.ADVANCE


def shares(gate: GateSpec, worse: float, **given: Any) -> dict[GateAction, int]:
    rng = np.random.default_rng(29)
    found = [promoted(gate, Traffic(gate, worse, rng), **given) for _ in range(ROLLOUTS)]
    return {action: found.count(action) for action in GateAction}


EQUAL = [
    pytest.param(ERRORS, 0.0, id="errors"),
    pytest.param(LATENCY, -0.13, id="latency"),  # P(ratio > 1.1) = 0.37 of equal models with a noise of 0.3
    pytest.param(AGREEMENT, 0.025, id="agreement"),
]
AT_MARGIN = [
    pytest.param(ERRORS, 0.01, id="errors"),
    pytest.param(LATENCY, 0.0, id="latency"),
    pytest.param(AGREEMENT, 0.05, id="agreement"),
]


@pytest.mark.parametrize(("gate", "worse"), EQUAL)
def test_equal_models_are_promoted_at_least_as_often_as_is_promised(gate: GateSpec, worse: float) -> None:
    found = shares(gate, worse)
    assert found[GateAction.ADVANCE] >= REQUIRED_POWER * ROLLOUTS
    assert found[GateAction.ROLL_BACK] <= most(ALPHA)


@pytest.mark.parametrize(("gate", "worse"), EQUAL)
def test_the_least_requests_that_are_not_refused_promote_as_many_equal_models_as_is_promised(
    gate: GateSpec, worse: float
) -> None:
    step, *_ = undecidable([gate], [StepSize(field="minRequests", requests=1)] * STEPS)
    (least,) = map(int, re.findall(r"at least (\d+) is needed", step.why))
    found = shares(gate, worse, requests=least)[GateAction.ADVANCE]
    assert found >= stats.binom.ppf(1e-4, ROLLOUTS, REQUIRED_POWER)


@pytest.mark.parametrize(("gate", "worse"), AT_MARGIN)
def test_at_the_margin_neither_error_is_more_frequent_than_alpha(gate: GateSpec, worse: float) -> None:
    found = shares(gate, worse)
    assert found[GateAction.ADVANCE] <= most(ALPHA)
    assert found[GateAction.ROLL_BACK] <= most(ALPHA)


@pytest.mark.parametrize("restart_at", [(1, 2), (2, 2), (3, 1)], ids=str)
def test_a_comparator_that_is_restarted_makes_neither_error_more_frequent(restart_at: tuple[int, int]) -> None:
    found = shares(ERRORS, ERRORS.margin, restart_at=restart_at)
    assert found[GateAction.ADVANCE] <= most(ALPHA)
    assert found[GateAction.ROLL_BACK] <= most(ALPHA)


def test_a_model_far_beyond_the_margin_is_rolled_back() -> None:
    assert shares(ERRORS, 0.05)[GateAction.ROLL_BACK] > 0.99 * ROLLOUTS


@pytest.mark.parametrize(("gate", "worse"), AT_MARGIN)
def test_what_is_at_the_margin_in_the_last_step_alone_does_not_hide_behind_the_earlier_ones(
    gate: GateSpec, worse: float
) -> None:
    rng = np.random.default_rng(29)
    good = {Metric.ERRORS: 0.0, Metric.LATENCY: -0.5, Metric.AGREEMENT: 0.0}[gate.metric]

    class Late(Traffic):
        def grow(self, requests: int) -> None:
            # no canary that is promoted takes fewer requests: each good step ends at its first end
            self.worse = worse if self.rows >= (STEPS - 1) * REQUESTS else good
            super().grow(requests)

    found = [promoted(gate, Late(gate, good, rng)) for _ in range(ROLLOUTS)]
    assert found.count(GateAction.ADVANCE) <= most(ALPHA)
