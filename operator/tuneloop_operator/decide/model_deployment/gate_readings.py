"""From the comparator's counts to what the gates of a roll-out ask for, read again and again. Pure.

The counts grow over all steps of a pair of revisions; each step is judged by what came in it. The reasons are in
docs/decisions/0047-each-step-has-its-own-evidence.md.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from tuneloop_operator.decide.model_deployment.gates.counts import began_at, of_pair
from tuneloop_operator.decide.model_deployment.gates.evidence import Missing
from tuneloop_operator.decide.model_deployment.gates.gate_memory import (
    GateMemory,
    at_counts,
    in_step,
    readable_again,
    with_missing,
)
from tuneloop_operator.decide.model_deployment.gates.gate_spec import Metric
from tuneloop_operator.decide.model_deployment.gates.judge import judged
from tuneloop_operator.decide.model_deployment.gates.limits import Outcome, outcome_of
from tuneloop_operator.decide.model_deployment.gates.looks import Look, due_look, planned_looks, single_look
from tuneloop_operator.decide.model_deployment.gates.observations import observed, tally_of
from tuneloop_operator.decide.model_deployment.gates.verdict import GateAction, GateResult, Verdict
from tuneloop_operator.decide.model_deployment.rollout.gate_summary import GateSummary

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from tuneloop_api.contract.comparison import ComparisonCounts
    from tuneloop_operator.decide.model_deployment.gates.gate_spec import GateSpec
    from tuneloop_operator.decide.model_deployment.gates.observations import Observation

FINAL = frozenset({GateAction.ROLL_BACK, GateAction.GIVE_UP})
"""After these a gate does not look again."""
_GOLDEN_STEP = 1
"""Golden rows belong to no step: what they showed holds for the roll-out."""


@dataclass(frozen=True, kw_only=True)
class GatePlan:
    """The pair that is compared, and the step that is tested."""

    deployment: str
    stable: str
    """Name of the revision."""
    canary: str
    min_requests: tuple[int, ...]
    """Of each step that is tested: requests that the comparator is to compare in it."""
    step: int
    """From 1, among these."""
    step_began: datetime
    rollout_began: datetime
    """When the canary began to start, or was offered again. What was counted before belongs to no step."""
    now: datetime
    latency_is_judged: bool = True
    """False where a step before has judged it, and this one cannot."""


@dataclass(frozen=True, kw_only=True)
class GateReading:
    """A gate after one reading of the counts."""

    summary: GateSummary
    memory: GateMemory
    """To be kept, and given to the next reading."""


def gate_results(
    gates: Iterable[GateSpec],
    counts: ComparisonCounts | Missing | None,
    plan: GatePlan,
    memories: Iterable[GateMemory] = (),
) -> tuple[GateReading, ...]:
    """Return what each gate says and asks for. counts: None where the comparator has not answered yet; Missing as of `counts.counts_of`."""
    ours = of_pair(counts, deployment=plan.deployment, stable=plan.stable, canary=plan.canary)
    known = {memory.gate: memory for memory in memories}
    return tuple(_reading(gate, ours, plan, known.get(gate.name) or GateMemory(gate=gate.name)) for gate in gates)


def looks_of(gate: GateSpec, min_requests: tuple[int, ...]) -> tuple[Look, ...]:
    """Return the planned looks of a gate. Their samples are requests that are new since the step began."""
    if gate.is_on_golden_rows:
        return single_look(1, alpha=gate.alpha)
    return planned_looks(min_requests, alpha=gate.alpha, inconclusive_limit=gate.limits.inconclusive)


def _reading(gate: GateSpec, counts: ComparisonCounts | Missing, plan: GatePlan, memory: GateMemory) -> GateReading:
    if gate.metric is Metric.LATENCY and not plan.latency_is_judged:
        return _carried(gate, memory)
    memory = in_step(memory, _GOLDEN_STEP if gate.is_on_golden_rows else plan.step)
    if _outcome(gate, memory).action in FINAL:
        return GateReading(summary=_summary(gate, memory, current=""), memory=memory)
    memory, current = _read(gate, counts, plan, memory)
    if isinstance(current, Missing):
        limit = gate.limits.no_data if current.verdict is Verdict.NO_DATA else gate.limits.error
        memory = with_missing(memory, current, limit=limit, margin=gate.margin, since=plan.step_began, now=plan.now)
    return GateReading(summary=_summary(gate, memory, current=current), memory=memory)


def _carried(gate: GateSpec, memory: GateMemory) -> GateReading:
    """Return what a gate found in a step before, which it had to pass, or a person has skipped."""
    return GateReading(summary=replace(_summary(gate, memory, current=""), action=GateAction.ADVANCE), memory=memory)


def _read(
    gate: GateSpec, counts: ComparisonCounts | Missing, plan: GatePlan, memory: GateMemory
) -> tuple[GateMemory, Missing | str]:
    """Return the memory after the counts were read; and what is missing, or in words what the gate waits for."""
    if isinstance(counts, Missing):
        return memory, counts
    began = began_at(counts)
    # what was counted before the first step, while the canary started, is evidence of the same pair
    since = plan.rollout_began if memory.step == 1 else plan.step_began
    all_of_step = began is not None and began >= since
    tally = tally_of(gate, counts)
    memory = at_counts(memory, tally, started_at=counts.started_at, all_of_step=all_of_step)
    observation = observed(gate, counts, since=memory.base or ())
    return (memory, observation) if isinstance(observation, Missing) else _looked(gate, observation, plan, memory)


def _looked(
    gate: GateSpec, observation: Observation, plan: GatePlan, memory: GateMemory
) -> tuple[GateMemory, Missing | str]:
    """Take the next look if it is due."""
    looks = looks_of(gate, plan.min_requests)
    look = due_look(looks, step=memory.step, samples=observation.sample, last_taken=memory.look)
    if look is None:
        return readable_again(memory), _wait(observation, looks, memory)
    evidence = observation.evidence_at(look.levels)
    if isinstance(evidence, Missing):
        return memory, evidence
    result = judged(gate.name, evidence, margin=gate.margin, look=look)
    return replace(memory, look=look.number, results=(*readable_again(memory).results, result)), ""


def _wait(observation: Observation, looks: tuple[Look, ...], memory: GateMemory) -> str:
    if observation.waits_for:
        return observation.waits_for
    following = next((look for look in looks if look.step == memory.step and look.number > memory.look), None)
    return f"{observation.sample} of {following.samples} requests for the next look" if following else ""


def _outcome(gate: GateSpec, memory: GateMemory) -> Outcome:
    # golden rows do not change: to look again shows the same, so the first Inconclusive is the last
    limits = replace(gate.limits, inconclusive=1) if gate.is_on_golden_rows else gate.limits
    return outcome_of(memory.results, {gate.name: limits})


def _summary(gate: GateSpec, memory: GateMemory, *, current: Missing | str) -> GateSummary:
    outcome = _outcome(gate, memory)
    shown = _shown(memory, outcome)
    action = GateAction.ADVANCE if gate.dry_run else outcome.action
    verdict, reason = _verdict_and_reason(outcome, shown, current)
    return GateSummary(
        name=gate.name, verdict=verdict, action=action, reason=f"on trial: {reason}" if gate.dry_run else reason
    )


def _verdict_and_reason(outcome: Outcome, shown: GateResult | None, current: Missing | str) -> tuple[Verdict, str]:
    if outcome.action is GateAction.HOLD and isinstance(current, Missing):
        return current.verdict, current.reason
    waits = current if isinstance(current, str) else current.reason
    if shown is None:
        return Verdict.NO_DATA, waits
    if outcome.action is GateAction.HOLD:
        return shown.verdict, f"{shown.reason}; {waits}" if waits else shown.reason
    given_up = outcome.reason.removeprefix(f"gate {shown.gate} ")  # whoever shows a reason names the gate
    return shown.verdict, given_up if outcome.action is GateAction.GIVE_UP else shown.reason


def _shown(memory: GateMemory, outcome: Outcome) -> GateResult | None:
    """Return the result to show: where the gate advances, its Pass."""
    passed = [result for result in memory.results if result.verdict is Verdict.PASS]
    if outcome.action is GateAction.ADVANCE and passed:
        return passed[-1]
    return memory.results[-1] if memory.results else None
