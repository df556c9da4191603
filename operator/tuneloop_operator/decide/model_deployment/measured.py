"""What was measured in the current step of a roll-out: requests that routers counted, and what the gates say to the comparator's counts and to Prometheus' answers.

What gates must remember is a part of the roll-out's memory, which is written before anything follows from it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from tuneloop_operator.decide.model_deployment.gate_plan import comparator_gates
from tuneloop_operator.decide.model_deployment.gate_readings import GatePlan, gate_results
from tuneloop_operator.decide.model_deployment.gates.counts import MOST_COUNT, counts_of, of_pair
from tuneloop_operator.decide.model_deployment.gates.evidence import Missing
from tuneloop_operator.decide.model_deployment.gates.verdict import GateAction, Verdict
from tuneloop_operator.decide.model_deployment.query_gates import queried, query_gates_of
from tuneloop_operator.decide.model_deployment.query_readings import query_results
from tuneloop_operator.decide.model_deployment.rollout.facts import Measurements, measured_step
from tuneloop_operator.decide.model_deployment.rollout.shadow import DEFAULT_MIN_REQUESTS
from tuneloop_operator.decide.model_deployment.rollout.state import Strategy
from tuneloop_operator.decide.model_deployment.rollout.strategies import step_of, steps_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from tuneloop_api.contract.comparison import ComparisonCounts
    from tuneloop_api.v1alpha1.model_deployment.rollout import RolloutOptions
    from tuneloop_operator.decide.model_deployment.gate_readings import GateReading
    from tuneloop_operator.decide.model_deployment.gates.gate_spec import GateSpec
    from tuneloop_operator.decide.model_deployment.rollout.facts import MeasuredStep, RolloutSpec
    from tuneloop_operator.decide.model_deployment.rollout.policy import Step
    from tuneloop_operator.decide.model_deployment.rollout.state import Rollout
    from tuneloop_operator.state.gate_inputs import ComparatorReply
    from tuneloop_operator.state.observed import ObservedDeployment

LOOK_AGAIN = 10.0
"""Seconds after which a step with gates is looked at again, also where nobody reports anything: a comparator that is away has a limit in time."""
_HALF = 50
_BAKING_STEP = 1000
"""The baking is a step of its own, behind all that there can be."""


@dataclass(frozen=True, kw_only=True)
class Measured:
    """The memory of a roll-out after a reading, and what was read."""

    rollout: Rollout | None
    measurements: Measurements | None = None


def measured(observed: ObservedDeployment, rollout: Rollout | None, spec: RolloutSpec, *, now: datetime) -> Measured:
    """Return what was measured in the step that is in force; nothing where no step is, or nobody asks."""
    step = measured_step(rollout) if rollout is not None else None
    options = observed.deployment.spec.rollout
    if rollout is None or step is None or options is None:
        return Measured(rollout=rollout)
    counts = _counts(observed, rollout)
    rollout = _with_replays_before(rollout, counts)
    readings = (
        *_comparator_readings(observed, rollout, options, spec, counts, now=now),
        *_query_readings(observed, rollout, options, now=now),
    )
    if not readings and not (rollout.canary and step_of(rollout, spec).min_requests):
        return Measured(rollout=rollout)
    measurements = Measurements(
        step=step,
        requests=_requests(observed, rollout, step, counts),
        replayed=max(0, _replayed(counts) - (rollout.replayed_before or 0)),
        gates=tuple(reading.summary for reading in readings),
    )
    return Measured(
        rollout=replace(rollout, gate_memories=tuple(reading.memory for reading in readings)),
        measurements=measurements,
    )


def judging_gates(options: RolloutOptions, strategy: Strategy) -> tuple[GateSpec, ...]:
    """Return the gates on the comparator's counts that can see anything: without routers there are no copies of requests."""
    gates = comparator_gates(options)
    return tuple(gate for gate in gates if gate.is_on_golden_rows or strategy is not Strategy.RECREATE)


def look_again(measurements: Measurements | None) -> float | None:
    """Return the seconds after which gates look again; None where none does."""
    undecided = measurements is not None and any(gate.action is GateAction.HOLD for gate in measurements.gates)
    return LOOK_AGAIN if undecided else None


def _counts(observed: ObservedDeployment, rollout: Rollout) -> ComparisonCounts | Missing:
    return of_pair(
        _read(observed.comparison),
        deployment=observed.deployment.metadata["name"],
        stable=rollout.stable,
        canary=rollout.canary,
    )


def _read(reply: ComparatorReply | None) -> ComparisonCounts | Missing | None:
    if reply is None:
        return None
    if reply.document is None:
        return Missing(verdict=Verdict.NO_DATA, reason=reply.problem or "the comparator does not answer")
    return counts_of(dict(reply.document))


def _comparator_readings(
    observed: ObservedDeployment,
    rollout: Rollout,
    options: RolloutOptions,
    spec: RolloutSpec,
    counts: ComparisonCounts | Missing,
    *,
    now: datetime,
) -> tuple[GateReading, ...]:
    """Only before the promotion: after it the servers of the revision before are gone."""
    if not rollout.canary or rollout.step_started is None:
        return ()
    steps = steps_of(rollout, spec)
    step = min(rollout.step, len(steps) - 1) + 1
    plan = GatePlan(
        deployment=observed.deployment.metadata["name"],
        stable=rollout.stable,
        canary=rollout.canary,
        min_requests=tuple(step.min_requests or DEFAULT_MIN_REQUESTS for step in steps),
        step=step,
        step_began=rollout.step_started,
        rollout_began=rollout.started or rollout.step_started,
        now=now,
        latency_is_judged=_can_judge_latency(steps[:step]),
    )
    return gate_results(judging_gates(options, rollout.strategy), counts, plan, rollout.gate_memories)


def _can_judge_latency(steps: Sequence[Step]) -> bool:
    """Whether clients load the canary no more than stable in the last of these steps, or did so in none.

    Otherwise the servers of stable have little else to do than to answer the comparator, and a busy canary would look slower than it is.
    """
    is_fair = [0 < step.weight <= _HALF for step in steps]
    return is_fair[-1] or not any(is_fair)


def _query_readings(
    observed: ObservedDeployment, rollout: Rollout, options: RolloutOptions, *, now: datetime
) -> tuple[GateReading, ...]:
    about = queried(rollout)
    if about is None or rollout.step_started is None:
        return ()
    return query_results(
        query_gates_of(options),
        observed.query_answers,
        canary=about.canary,
        stable=about.stable,
        step=_BAKING_STEP if about.is_baking else rollout.step + 1,
        step_began=rollout.step_started,
        now=now,
        memories=rollout.gate_memories,
        is_baking=about.is_baking,
    )


def _requests(
    observed: ObservedDeployment, rollout: Rollout, step: MeasuredStep, counts: ComparisonCounts | Missing
) -> int:
    """Return the requests that the revision has answered in this step; in one without a share, the copies that were compared."""
    if rollout.canary and rollout.split.weight_of(rollout.canary) == 0:
        return 0 if isinstance(counts, Missing) else counts.live.rows
    reports = [dict(report.requests) for report in observed.routers if report.in_force == step.generation]
    return min(sum(report.get(step.revision, 0) for report in reports), MOST_COUNT)


def _with_replays_before(rollout: Rollout, counts: ComparisonCounts | Missing) -> Rollout:
    """Return the memory with the golden requests that were replayed before the step. In the first step all count, and after a restart of the comparator."""
    if isinstance(counts, Missing) or counts.golden is None:
        return rollout
    done, before = _replayed(counts), rollout.replayed_before
    if before is None:
        return replace(rollout, replayed_before=0 if rollout.step == 0 else done)
    return replace(rollout, replayed_before=0) if done < before else rollout


def _replayed(counts: ComparisonCounts | Missing) -> int:
    """Return the golden requests that both revisions were asked and that say something."""
    return 0 if isinstance(counts, Missing) or counts.golden is None else min(counts.golden.pairs.rows, MOST_COUNT)
