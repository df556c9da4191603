"""The metrics of ModelDeployments. Pure: stored objects in, Prometheus' text out."""

from __future__ import annotations

from typing import TYPE_CHECKING, get_args

from tuneloop_api.v1alpha1.model_deployment.spec import DeploymentPhase
from tuneloop_operator.metrics.family import Family, by_phase

if TYPE_CHECKING:
    from datetime import datetime

    from tuneloop_operator.cluster import Manifest
    from tuneloop_operator.metrics.family import Objects


def text(objects: Objects, now: datetime) -> str:  # noqa: ARG001  (the shape of a controller's metrics)
    """Return the metrics of all ModelDeployments in Prometheus' text format."""
    deployments = list(objects.of_kind("ModelDeployment", namespace=None))
    phases = by_phase(
        "tuneloop_model_deployments", "ModelDeployments by phase.", deployments, get_args(DeploymentPhase)
    )
    return phases.text + _refusing_routers(objects, deployments).text


def _refusing_routers(objects: Objects, deployments: list[Manifest]) -> Family:
    family = Family(
        "tuneloop_model_deployment_refusing_routers", "gauge", "Routers that did not take the last split that they got."
    )
    for metadata in (deployment["metadata"] for deployment in deployments):
        if reports := objects.router_reports(metadata["uid"]):
            named = f'namespace="{metadata["namespace"]}",name="{metadata["name"]}"'
            family.add(named, sum(report.refused is not None for report in reports))
    return family
