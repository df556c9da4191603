"""The Services: one gives the gang's pods their names, the others lead to model servers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneloop_operator.desired.common.metadata import (
    deployment_labels,
    job_labels,
    owned_metadata,
    rendezvous_name,
    revision_name,
)
from tuneloop_operator.desired.fine_tune_job.run_config import RENDEZVOUS_PORT

if TYPE_CHECKING:
    from tuneloop_api.v1alpha1 import FineTuneJob, ModelDeployment
    from tuneloop_operator.cluster import Manifest


def rendezvous_service(job: FineTuneJob) -> Manifest:
    """Headless Service: gives each training pod a DNS name, even before it is ready."""
    labels = job_labels(job, stage="train")
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": owned_metadata(job, name=rendezvous_name(job), labels=labels),
        "spec": {
            "clusterIP": "None",
            "publishNotReadyAddresses": True,
            "selector": labels,
            "ports": [{"name": "rendezvous", "port": RENDEZVOUS_PORT, "protocol": "TCP"}],
        },
    }


def revision_service(deployment: ModelDeployment, *, revision: str) -> Manifest:
    """Return the Service of one revision."""
    labels = deployment_labels(deployment, revision)
    return _serving(deployment, name=revision_name(deployment, revision), labels=labels, revision=revision)


def stable_service(deployment: ModelDeployment, *, revision: str) -> Manifest:
    """Return the Service that users call; it leads to the revision that answers now."""
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
