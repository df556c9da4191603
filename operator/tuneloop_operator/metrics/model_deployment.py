"""The metrics of ModelDeployments. Pure: stored objects in, Prometheus' text out."""

from __future__ import annotations

from typing import TYPE_CHECKING, get_args

from tuneloop_api.v1alpha1.model_deployment.spec import DeploymentPhase
from tuneloop_operator.metrics.family import by_phase

if TYPE_CHECKING:
    from datetime import datetime

    from tuneloop_operator.metrics.family import Objects


def text(objects: Objects, now: datetime) -> str:  # noqa: ARG001  (the shape of a controller's metrics)
    """Return the metrics of all ModelDeployments in Prometheus' text format."""
    deployments = objects.of_kind("ModelDeployment", namespace=None)
    return by_phase(
        "tuneloop_model_deployments", "ModelDeployments by phase.", deployments, get_args(DeploymentPhase)
    ).text
