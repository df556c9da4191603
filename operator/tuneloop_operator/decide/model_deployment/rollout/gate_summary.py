"""What a roll-out needs to know of a gate: its verdict, and what it asks for. How a gate comes to that is not its business."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

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


def sentences(gates: Iterable[GateSummary]) -> list[str]:
    """Return a sentence for all gates that say the same, as where the comparator has not answered yet: `gates errors and latency NoData (…)`."""
    names: dict[str, list[str]] = {}
    for gate in gates:
        names.setdefault(f"{gate.verdict} ({gate.reason})", []).append(gate.name)
    return [f"{_gates(alike)} {found}" for found, alike in names.items()]


def _gates(names: list[str]) -> str:
    *others, last = names
    return f"gates {', '.join(others)} and {last}" if others else f"gate {last}"
