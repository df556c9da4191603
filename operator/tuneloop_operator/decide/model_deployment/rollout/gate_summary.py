"""What a roll-out needs to know of a gate: its verdict, and what it asks for. How a gate comes to that is not its business."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """What a gate has found."""

    PASS = "Pass"  # noqa: S105  (a verdict)
    FAIL = "Fail"
    INCONCLUSIVE = "Inconclusive"
    NO_DATA = "NoData"
    ERROR = "Error"


class GateAction(StrEnum):
    """What a gate asks for. Its own limits are already applied."""

    ADVANCE = "Advance"
    HOLD = "Hold"
    ROLL_BACK = "RollBack"
    GIVE_UP = "GiveUp"
    """It cannot decide: the canary is to get no requests, and a person must decide."""


@dataclass(frozen=True, kw_only=True)
class GateSummary:
    """The result of one gate."""

    name: str
    verdict: Verdict
    action: GateAction
    """A gate on trial (`dryRun`) asks for ADVANCE, whatever it finds."""
    reason: str
    """Its figures, for people. For example `harm 0.1 %, margin 1 %`."""
