"""What a gate says at one look: a verdict, its numbers, and one sentence."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """What a gate found."""

    PASS = "Pass"  # noqa: S105 (no password)
    """The upper limit of harm is within the margin."""
    FAIL = "Fail"
    """The lower limit of harm exceeds the margin."""
    INCONCLUSIVE = "Inconclusive"
    """The margin lies between the limits of harm, or the step has not ended."""
    NO_DATA = "NoData"
    """Too few observations for this look."""
    ERROR = "Error"
    """The observations could not be read, or make no sense."""


class GateAction(StrEnum):
    """What a gate asks for, once the limits of its verdicts are applied."""

    ADVANCE = "Advance"
    HOLD = "Hold"
    ROLL_BACK = "RollBack"
    GIVE_UP = "GiveUp"
    """It cannot decide: the canary is to get no requests, and a person must decide."""


@dataclass(frozen=True, kw_only=True)
class GateResult:
    """The result of one gate at one look.

    Harm, limits and margin are in the gate's own unit, a share: 0.01 is one point of a proportion, or 1 % more time. Without data they are None.
    """

    gate: str
    verdict: Verdict
    harm: float | None = None
    """Estimate of canary minus stable; positive is worse."""
    low: float | None = None
    """One-sided lower limit of harm, at the look's level for Fail."""
    high: float | None = None
    """One-sided upper limit of harm, at the look's level for Pass."""
    margin: float
    canary: float | None = None
    stable: float | None = None
    """None for a gate that compares with a fixed bound."""
    sample: int = 0
    """Requests of the canary, or pairs, since the step began."""
    look: int
    """Number of the look in the roll-out, from 1."""
    at_step_end: bool
    """Whether Pass could be given and Inconclusive counts."""
    reason: str
    """One plain sentence with the numbers."""
