"""What a measure hands to the judge: an estimate of harm with its limits, or why there is none."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from tuneloop_operator.decide.model_deployment.gates.verdict import Verdict

if TYPE_CHECKING:
    from tuneloop_operator.prometheus.answer import Unanswered


@dataclass(frozen=True, kw_only=True)
class Levels:
    """One-sided error levels of one look, each in (0, 0.5)."""

    fail: float
    """Most probability of Fail at this look while harm is within the margin."""
    promote: float
    """Most probability of Pass at this look while harm exceeds the margin."""


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """Harm with one-sided limits; units as in `GateResult`."""

    harm: float
    low: float
    high: float
    canary: float
    stable: float | None = None
    sample: int
    facts: str
    """Begins the sentence of the result, such as "canary errors 1.2 %, stable 0.3 %"."""
    can_fail: bool = True
    """False: the limits may prove that harm is small, but there is too little to prove harm."""


@dataclass(frozen=True, kw_only=True)
class Missing:
    """There is nothing to judge: `NoData` or `Error`, and why."""

    verdict: Verdict
    reason: str
    sample: int = 0

    @classmethod
    def of(cls, unanswered: Unanswered) -> Self:
        """Return what a gate makes of a query without a number."""
        return cls(verdict=Verdict(unanswered.verdict), reason=unanswered.reason)


def percent(share: float) -> str:
    """Return a share as people read it: 0.0123 → "1.2 %", 0.00042 → "0.042 %"."""
    value = 100 * share
    digits = 1 if abs(value) >= 1 or value == 0 else 2
    text = f"{value:.{digits}g}" if abs(value) < 1 else f"{value:.{digits}f}"
    return f"{text.removesuffix('.0')} %"
