"""The HorizontalPodAutoscaler of a ModelDeployment with `spec.autoscaling`. There is one, which moves from revision to revision."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tuneloop_operator.desired.common.metadata import deployment_labels, owned_metadata
from tuneloop_operator.names import SERVER_CONTAINER, revision_name

if TYPE_CHECKING:
    from tuneloop_api.v1alpha1 import ModelDeployment
    from tuneloop_api.v1alpha1.model_deployment.autoscaling import Autoscaling
    from tuneloop_operator.cluster import Manifest

_CPU_PERCENT = 80
_REQUESTS = 16
"""For each server: as many as it takes into one forward pass."""
_INFLIGHT = "tuneloop_inflight_requests"
"""Metric of the server's pods: requests that are being answered."""


def autoscaler(deployment: ModelDeployment, scaling: Autoscaling, *, revision: str, floor: int) -> Manifest:
    """Return the autoscaler. revision: the one whose number of servers it owns; floor: the least number that it may set, at least 1."""
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        # without a revision: it outlives each of them
        "metadata": owned_metadata(deployment, name=deployment.metadata["name"], labels=deployment_labels(deployment)),
        "spec": {
            "scaleTargetRef": {
                "apiVersion": "apps/v1",
                "kind": "Deployment",
                "name": revision_name(deployment, revision),
            },
            "minReplicas": floor,
            "maxReplicas": max(floor, scaling.max),
            "metrics": [_metric(scaling)],
        },
    }


def _metric(scaling: Autoscaling) -> dict[str, Any]:
    if scaling.signal == "Concurrency":
        value = str(_REQUESTS if scaling.target is None else scaling.target)
        return {
            "type": "Pods",
            "pods": {"metric": {"name": _INFLIGHT}, "target": {"type": "AverageValue", "averageValue": value}},
        }
    percent = _CPU_PERCENT if scaling.target is None else scaling.target
    return {
        # of our container alone: a sidecar that somebody injects need not request any CPU
        "type": "ContainerResource",
        "containerResource": {
            "name": "cpu",
            "container": SERVER_CONTAINER,
            "target": {"type": "Utilization", "averageUtilization": percent},
        },
    }
