"""The Services of model servers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneloop_operator.desired.common.metadata import deployment_labels, owned_metadata
from tuneloop_operator.names import revision_name

if TYPE_CHECKING:
    from tuneloop_api.v1alpha1 import ModelDeployment
    from tuneloop_operator.cluster import Manifest


def revision_service(deployment: ModelDeployment, *, revision: str) -> Manifest:
    """Return the Service of one revision."""
    labels = deployment_labels(deployment, revision)
    return _serving(deployment, name=revision_name(deployment, revision), labels=labels, revision=revision)


def stable_service(deployment: ModelDeployment, *, revision: str) -> Manifest:
    """Return the Service that users call. It points to the stable revision."""
    labels = deployment_labels(deployment)
    return _serving(deployment, name=deployment.metadata["name"], labels=labels, revision=revision)


def _serving(deployment: ModelDeployment, *, name: str, labels: dict[str, str], revision: str) -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": owned_metadata(deployment, name=name, labels=labels),
        "spec": {
            "type": "ClusterIP",
            "selector": deployment_labels(deployment, revision),
            "ports": [{"name": "http", "port": 80, "targetPort": "http", "protocol": "TCP"}],
        },
    }
