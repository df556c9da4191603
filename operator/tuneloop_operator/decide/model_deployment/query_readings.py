"""From Prometheus' answers to what the gates with a query ask for, read again and again. Pure.

A number of PromQL has no known distribution, so there is no interval and no alpha. A gate decides by numbers that share no sample: three within the
margin pass, three beyond it fail. The reasons are in docs/decisions/0049-a-query-decides-by-three-windows.md.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING

from tuneloop_operator.decide.gate_query import IN_A_ROW, Compare, spacing
from tuneloop_operator.decide.model_deployment.feedback_gate import NO_DATA
from tuneloop_operator.decide.model_deployment.gate_readings import FINAL, GateReading
from tuneloop_operator.decide.model_deployment.gates.evidence import Missing, percent
from tuneloop_operator.decide.model_deployment.gates.gate_memory import (
    GateMemory,
    readable_again,
    with_missing,
)
from tuneloop_operator.decide.model_deployment.gates.verdict import GateAction, GateResult, Verdict
from tuneloop_operator.decide.model_deployment.rollout.gate_summary import GateSummary
from tuneloop_operator.prometheus.answer import Number, Unanswered
from tuneloop_operator.prometheus.look_back import look_back

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from tuneloop_operator.decide.model_deployment.query_gates import QueryGate
    from tuneloop_operator.state.gate_inputs import QueryAnswer

_WHOLE_SECOND = timedelta(seconds=1)
"""A time in the status is written without its fraction: the step has begun less than this later."""
STALE = 180.0
"""Seconds. An answer that is older says nothing of now: a query is asked every 30 s."""


@dataclass(frozen=True, kw_only=True)
class _Step:
    """The step that is judged."""

    canary: str
    stable: str
    step: int
    began: datetime
    now: datetime
    is_baking: bool


@dataclass(frozen=True, kw_only=True)
class _Sample:
    """A number of this step."""

    canary: float
    stable: float | None
    at: datetime
    """When it was asked for."""

    @property
    def harm(self) -> float:
        return self.canary - (self.stable or 0.0)


def query_results(
    gates: Iterable[QueryGate],
    answers: Iterable[QueryAnswer],
    *,
    canary: str,
    stable: str,
    step: int,
    step_began: datetime,
    now: datetime,
    memories: Iterable[GateMemory] = (),
    is_baking: bool = False,
) -> tuple[GateReading, ...]:
    """Return what each gate says and asks for.

    canary, stable: names of the revisions, as in `Queried`; step: from 1, another number for another step, and for the baking; step_began: when it
    was in force. While baking a gate may only roll back: whatever else it finds ends nothing.
    """
    known = {memory.gate: memory for memory in memories}
    began = step_began + _WHOLE_SECOND
    place = _Step(canary=canary, stable=stable, step=step, began=began, now=now, is_baking=is_baking)
    given = tuple(answers)
    return tuple(
        _reading(gate, _by_revision(gate, given), place, known.get(gate.name) or GateMemory(gate=gate.name))
        for gate in gates
    )


def _by_revision(gate: QueryGate, answers: tuple[QueryAnswer, ...]) -> dict[str, dict[datetime, QueryAnswer]]:
    found: dict[str, dict[datetime, QueryAnswer]] = {}
    for answer in answers:
        if answer.gate == gate.name:
            found.setdefault(answer.revision, {})[answer.at] = answer
    return found


def _reading(
    gate: QueryGate, answers: Mapping[str, Mapping[datetime, QueryAnswer]], place: _Step, memory: GateMemory
) -> GateReading:
    memory = _in_step(memory, place.step)
    if _action(gate, memory, place) in FINAL:
        return _read(gate, memory, place, current="")
    if waits := _nothing_to_ask(gate, place):
        return _without_comparison(gate, memory, reason=waits)
    current = _current(gate, answers, place)
    if isinstance(current, Missing):
        return _read(gate, _with_missing(gate, memory, current, place), place, current=current)
    memory = readable_again(memory)
    if waits := _waits(gate, current, memory, place):
        return _read(gate, memory, place, current=waits, is_harmful=current.harm > gate.margin)
    return _read(gate, _counted(gate, memory, current), place, current="")


def _in_step(memory: GateMemory, step: int) -> GateMemory:
    """Return the memory at a step: each step asks for its own Pass."""
    return memory if memory.step == step else GateMemory(gate=memory.gate, step=step)


def _current(gate: QueryGate, answers: Mapping[str, Mapping[datetime, QueryAnswer]], place: _Step) -> Missing | _Sample:
    """Return the newest number of this step, or why there is none."""
    # not accepted: the roll-out began with another one
    if problem := gate.problem:
        return Missing(verdict=Verdict.ERROR, reason=problem)
    of_canary = answers.get(place.canary, {})
    of_stable = answers.get(place.stable, {}) if gate.compare is Compare.STABLE else of_canary
    times = [at for at in of_canary.keys() & of_stable.keys() if at >= place.began]
    if not times:
        return Missing(verdict=Verdict.NO_DATA, reason="Prometheus has not answered since the step began")
    at = max(times)
    if (age := (place.now - at).total_seconds()) > STALE:
        return Missing(verdict=Verdict.NO_DATA, reason=f"the newest answer of Prometheus is {age:.0f} s old")
    found = {"canary": of_canary[at].answer}
    if gate.compare is Compare.STABLE:
        found["stable"] = of_stable[at].answer
    for role, answer in found.items():
        if isinstance(answer, Unanswered):
            is_too_few = gate.is_on_feedback and answer.verdict == "NoData"
            return replace(Missing.of(answer), reason=NO_DATA if is_too_few else f"{role}: {answer.reason}")
    numbers = {role: answer.value for role, answer in found.items() if isinstance(answer, Number)}
    sample = _Sample(canary=numbers["canary"], stable=numbers.get("stable"), at=at)
    if not math.isfinite(sample.harm):
        return Missing(verdict=Verdict.ERROR, reason=f"{sample.canary:g} - {sample.stable:g} is no finite number")
    return sample


def _with_missing(gate: QueryGate, memory: GateMemory, missing: Missing, place: _Step) -> GateMemory:
    """Return the memory after a reading without a number. It says nothing of the numbers before, which stay."""
    limit = gate.limits.no_data if missing.verdict is Verdict.NO_DATA else gate.limits.error
    if place.is_baking:
        limit = None
    return with_missing(memory, missing, limit=limit, margin=gate.margin, since=place.began, now=place.now)


def _waits(gate: QueryGate, sample: _Sample, memory: GateMemory, place: _Step) -> str:
    """Return why a number does not count yet: it shares samples with the time before the step, or with the number before."""
    window = look_back(gate.query)
    if (sample.at - place.began).total_seconds() < window:
        return f"the first number counts once the step is as old as the query looks back ({window:.0f} s)"
    if memory.read_at is None or (sample.at - memory.read_at).total_seconds() >= spacing(gate.query):
        return ""
    return f"{_facts(gate, sample)}, and not counted yet"


def _counted(gate: QueryGate, memory: GateMemory, sample: _Sample) -> GateMemory:
    """Return the memory with one number more. `look` counts the numbers since the newest Pass."""
    before = [result.harm for result in memory.results if result.harm is not None]
    verdict = verdict_of([*before, sample.harm][-IN_A_ROW:], margin=gate.margin)
    result = GateResult(
        gate=gate.name,
        verdict=verdict,
        harm=sample.harm,
        margin=gate.margin,
        canary=sample.canary,
        stable=sample.stable,
        look=memory.look + 1,
        at_step_end=True,
        reason=_facts(gate, sample),
    )
    look = 0 if verdict is Verdict.PASS else memory.look + 1
    results = (*memory.results, result)[-IN_A_ROW:]
    return replace(memory, look=look, results=results, read_at=sample.at)


def verdict_of(harms: list[float], *, margin: float) -> Verdict:
    """Return what the newest numbers say, the newest last: `IN_A_ROW` within the margin pass, as many beyond it fail."""
    if len(harms) == IN_A_ROW and all(harm <= margin for harm in harms):
        return Verdict.PASS
    if len(harms) == IN_A_ROW and all(harm > margin for harm in harms):
        return Verdict.FAIL
    return Verdict.INCONCLUSIVE


def _action(gate: QueryGate, memory: GateMemory, place: _Step) -> GateAction:
    """Return what the gate asks for, without regard to `dryRun`. It advances only while its newest reading is a Pass."""
    if not memory.results:
        return GateAction.HOLD
    match memory.results[-1].verdict:
        case Verdict.FAIL:
            return GateAction.ROLL_BACK
        case Verdict.PASS:
            return GateAction.ADVANCE
    return GateAction.GIVE_UP if _limit(gate, memory) and not place.is_baking else GateAction.HOLD


def _limit(gate: QueryGate, memory: GateMemory) -> str:
    """Return which limit is reached, in words; empty if none is."""
    newest, limits = memory.results[-1].verdict, gate.limits
    count = sum(result.verdict is newest for result in memory.results)
    if newest is Verdict.NO_DATA and limits.no_data is not None and count >= limits.no_data:
        return f"had no data {count} times in a row (noDataLimit {limits.no_data})"
    if newest is Verdict.ERROR and limits.error is not None and count >= limits.error:
        return f"had an error {count} times in a row (errorLimit {limits.error})"
    if newest is Verdict.INCONCLUSIVE and memory.look >= IN_A_ROW * limits.inconclusive:
        return f"decided nothing by {memory.look} numbers (inconclusiveLimit {limits.inconclusive})"
    return ""


def _read(
    gate: QueryGate, memory: GateMemory, place: _Step, *, current: Missing | str, is_harmful: bool = False
) -> GateReading:
    """Return the reading. current: what is missing, or in words why a number does not count yet; is_harmful: whether that number is harm."""
    action = _action(gate, memory, place)
    if action is GateAction.ADVANCE and (isinstance(current, Missing) or is_harmful):
        action = GateAction.HOLD  # what has passed is not so any more
    verdict, reason = _verdict_and_reason(gate, memory, action, current)
    return _summed_up(gate, memory, verdict=verdict, action=action, reason=reason)


def _verdict_and_reason(
    gate: QueryGate, memory: GateMemory, action: GateAction, current: Missing | str
) -> tuple[Verdict, str]:
    newest = memory.results[-1] if memory.results else None
    if action in FINAL and newest is not None:
        what = "failed" if action is GateAction.ROLL_BACK else _limit(gate, memory)
        return newest.verdict, f"gate {gate.name} {what}: {newest.reason}"
    if isinstance(current, Missing):
        return current.verdict, current.reason
    if newest is None:
        return Verdict.NO_DATA, current
    if newest.verdict is Verdict.PASS and action is GateAction.HOLD:
        return Verdict.INCONCLUSIVE, current
    return newest.verdict, newest.reason


def _nothing_to_ask(gate: QueryGate, place: _Step) -> str:
    """Return why a gate has nothing to compare now; empty if it has."""
    if gate.is_on_feedback and not place.is_baking:
        return "labels come late: they are looked at while the promoted revision bakes"
    if gate.compare is Compare.STABLE and not place.stable:
        return "no other revision gets requests, so there is nothing to compare with"
    return ""


def _without_comparison(gate: QueryGate, memory: GateMemory, *, reason: str) -> GateReading:
    """Return the reading of a gate with nothing to compare. It keeps nothing from going on: acceptance asks for a time in which it has."""
    return _summed_up(gate, memory, verdict=Verdict.NO_DATA, action=GateAction.ADVANCE, reason=reason)


def _summed_up(
    gate: QueryGate, memory: GateMemory, *, verdict: Verdict, action: GateAction, reason: str
) -> GateReading:
    summary = GateSummary(
        name=gate.name,
        verdict=verdict,
        action=GateAction.ADVANCE if gate.dry_run else action,
        reason=f"on trial: {reason}" if gate.dry_run else reason,
    )
    return GateReading(summary=summary, memory=memory)


def _facts(gate: QueryGate, sample: _Sample) -> str:
    side = "within" if sample.harm <= gate.margin else "more than"
    if gate.is_on_feedback:
        return f"by late labels at least {percent(sample.canary)} more answers are wrong than of the revision before, {side} the margin {percent(gate.margin)}"
    if sample.stable is None:
        return f"{sample.canary:.4g} is {side} the margin {gate.margin:g}"
    return (
        f"canary {sample.canary:.4g}, stable {sample.stable:.4g}: the difference is {side} the margin {gate.margin:g}"
    )
