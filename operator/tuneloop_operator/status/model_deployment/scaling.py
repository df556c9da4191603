"""The condition ScalingActive: whether the autoscaler of a deployment can do its work, in the words of the cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tuneloop_operator.state.conditions import with_condition, without_condition

if TYPE_CHECKING:
    from datetime import datetime

    from tuneloop_api.v1alpha1.common import Conditions
    from tuneloop_operator.state.observed import ObservedDeployment

SCALING_ACTIVE = "ScalingActive"
_ABLE = "AbleToScale"
_NEEDS = {
    "CPU": "signal CPU needs a metrics server in the cluster, and a request of the servers for CPU (resources.cpu)",
    "Concurrency": "signal Concurrency needs an adapter in the cluster that offers the pods' metric tuneloop_inflight_requests (custom.metrics.k8s.io)",
}


def with_scaling(conditions: Conditions, observed: ObservedDeployment, *, now: datetime) -> Conditions:
    """Return the conditions with what the autoscaler says of itself; without, for a deployment that has none."""
    scaling = observed.deployment.spec.autoscaling
    if scaling is None:
        return without_condition(conditions, SCALING_ACTIVE)
    found = _condition_of(observed)
    if found is None:
        message = "the cluster has not looked at the autoscaler yet"
        return with_condition(conditions, SCALING_ACTIVE, true=None, reason="NotObserved", message=message, now=now)
    true = {"True": True, "False": False}.get(found["status"])
    message = found.get("message", "")
    if found["type"] == SCALING_ACTIVE and true is False:
        message = f"{message}; {_NEEDS[scaling.signal or 'CPU']}"
    reason = found.get("reason") or "Unknown"
    return with_condition(conditions, SCALING_ACTIVE, true=true, reason=reason, message=message, now=now)


def enough_servers(observed: ObservedDeployment, wanted: int) -> int:
    """Return how many of the wanted servers must answer for a deployment to be Ready: those that an autoscaler adds load a while, whenever it adds some."""
    scaling = observed.deployment.spec.autoscaling
    return wanted if scaling is None else min(wanted, scaling.least)


def _condition_of(observed: ObservedDeployment) -> dict[str, Any] | None:
    """Return the autoscaler's own condition that tells most; None if it has none yet."""
    stored = observed.present.get(("HorizontalPodAutoscaler", observed.deployment.metadata["name"])) or {}
    known: dict[str, dict[str, Any]] = {
        entry["type"]: entry for entry in (stored.get("status") or {}).get("conditions") or ()
    }
    if _ABLE in known and known[_ABLE]["status"] == "False":
        return known[_ABLE]
    return known.get(SCALING_ACTIVE)
