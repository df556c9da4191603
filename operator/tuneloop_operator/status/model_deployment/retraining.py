"""Conditions of a ModelDeployment that retrains: whether a retraining is blocked, and whether its quality has fallen."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneloop_operator.state.conditions import with_condition, without_condition

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from tuneloop_api.v1alpha1.common import Conditions
    from tuneloop_api.v1alpha1.model_deployment.retraining_status import RetrainingStatus, TriggerStatus

BLOCKED, QUALITY_DEGRADED = "RetrainingBlocked", "QualityDegraded"
_MEASURES = frozenset({"accuracy", "drift", "promql"})
"""Types of triggers that measure the model; the others fire for reasons of their own."""


def with_retraining_conditions(conditions: Conditions | None, status: RetrainingStatus, *, now: datetime) -> Conditions:
    """Return the conditions with those of the loop."""
    reason, message = status.blocked_reason or status.state, status.message or ""
    is_blocked = status.state == "Blocked"
    found = with_condition(conditions, BLOCKED, true=is_blocked, reason=reason, message=message, now=now)
    measures = [trigger for trigger in status.triggers or () if trigger.type in _MEASURES]
    return _with_quality(found, measures, now=now) if measures else without_condition(found, QUALITY_DEGRADED)


def _with_quality(conditions: Conditions, triggers: Sequence[TriggerStatus], *, now: datetime) -> Conditions:
    """Return the conditions with that of the quality: degraded if one trigger fires, unknown if none has data."""
    firing = next((found for found in triggers if found.state == "Firing"), None)
    if firing is not None:
        fields = {"true": True, "reason": "TriggerFires", "message": f"{firing.name}: {firing.reason}"}
    elif all(found.state == "Unknown" for found in triggers):
        fields = {"true": None, "reason": "NoData", "message": f"{triggers[0].name}: {triggers[0].reason}"}
    else:
        fields = {"true": False, "reason": "NoTriggerFires", "message": ""}
    true, reason, message = fields["true"], str(fields["reason"]), str(fields["message"])
    return with_condition(
        conditions,
        QUALITY_DEGRADED,
        true=bool(true) if true is not None else None,
        reason=reason,
        message=message,
        now=now,
    )
