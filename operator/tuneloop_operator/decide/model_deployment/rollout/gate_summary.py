"""What a roll-out needs to know of a gate: its verdict, and what it asks for. How a gate comes to that is not its business."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tuneloop_operator.decide.model_deployment.gates.verdict import GateAction, Verdict


@dataclass(frozen=True, kw_only=True)
class GateSummary:
    """The result of one gate."""

    name: str
    verdict: Verdict
    action: GateAction
    """A gate on trial (`dryRun`) asks for ADVANCE, whatever it finds."""
    reason: str
    """Its figures, for people. For example `harm 0.1 %, margin 1 %`."""
