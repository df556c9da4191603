"""Budgets that the administrator does not want any more: Kubernetes evicts no pod that two select, and somebody may have budgets of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneloop_operator.decide.decision import Deletion

if TYPE_CHECKING:
    from tuneloop_operator.settings.operator import OperatorSettings
    from tuneloop_operator.state.observed import ObservedDeployment


def surplus_budgets(observed: ObservedDeployment, *, settings: OperatorSettings) -> tuple[Deletion, ...]:
    """Return our budgets where there are to be none."""
    return tuple(
        Deletion(kind=kind, name=name, uid=manifest["metadata"]["uid"])
        for (kind, name), manifest in sorted(observed.present.items())
        if kind == "PodDisruptionBudget" and not settings.has_budgets
    )
