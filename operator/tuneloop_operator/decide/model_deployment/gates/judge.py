"""From evidence to a result: the margin against the limits of harm."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from tuneloop_operator.decide.model_deployment.gates.evidence import Evidence, Missing, percent
from tuneloop_operator.decide.model_deployment.gates.verdict import GateResult, Verdict

if TYPE_CHECKING:
    from tuneloop_operator.decide.model_deployment.gates.looks import Look


def judged(gate: str, evidence: Evidence | Missing, *, margin: float, look: Look) -> GateResult:
    """Return the result of a gate at a look. Numbers that are NaN are an Error, fewer samples than planned NoData: neither is ever Pass."""
    if isinstance(evidence, Missing):
        return _without_numbers(
            gate, evidence.verdict, evidence.reason, sample=evidence.sample, margin=margin, look=look
        )
    if any(map(math.isnan, (evidence.harm, evidence.low, evidence.high, margin))):
        return _without_numbers(
            gate, Verdict.ERROR, f"{evidence.facts}: not a number", sample=evidence.sample, margin=margin, look=look
        )
    if evidence.sample < look.samples:
        reason = f"{evidence.sample} of the {look.samples} observations that this look needs"
        return _without_numbers(gate, Verdict.NO_DATA, reason, sample=evidence.sample, margin=margin, look=look)
    return GateResult(
        gate=gate,
        verdict=_verdict(evidence, margin=margin, look=look),
        harm=evidence.harm,
        low=evidence.low,
        high=evidence.high,
        margin=margin,
        canary=evidence.canary,
        stable=evidence.stable,
        sample=evidence.sample,
        look=look.number,
        at_step_end=look.at_step_end,
        reason=f"{evidence.facts}: harm {percent(evidence.harm)} ({_range(evidence)}), margin {percent(margin)}",
    )


def _verdict(evidence: Evidence, *, margin: float, look: Look) -> Verdict:
    if evidence.low > margin and evidence.can_fail:
        return Verdict.FAIL
    if evidence.high <= margin and look.at_step_end:
        return Verdict.PASS
    return Verdict.INCONCLUSIVE


def _range(evidence: Evidence) -> str:
    high = percent(evidence.high) if math.isfinite(evidence.high) else "no limit"
    return f"{percent(evidence.low).removesuffix(' %')} to {high}"


def _without_numbers(gate: str, verdict: Verdict, reason: str, *, sample: int, margin: float, look: Look) -> GateResult:
    return GateResult(
        gate=gate,
        verdict=verdict,
        margin=margin,
        sample=sample,
        look=look.number,
        at_step_end=look.at_step_end,
        reason=reason,
    )
