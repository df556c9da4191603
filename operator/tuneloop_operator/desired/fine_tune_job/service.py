"""The Service that gives the pods of a gang their DNS names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneloop_operator.desired.common.metadata import job_labels, owned_metadata
from tuneloop_operator.desired.fine_tune_job.host_network import rendezvous_port
from tuneloop_operator.names import rendezvous_name

if TYPE_CHECKING:
    from tuneloop_api.v1alpha1 import FineTuneJob
    from tuneloop_operator.cluster import Manifest


def rendezvous_service(job: FineTuneJob) -> Manifest:
    """Return a headless Service, which gives each training pod a DNS name even before the pod is ready."""
    labels = job_labels(job, stage="train")
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": owned_metadata(job, name=rendezvous_name(job), labels=labels),
        "spec": {
            "clusterIP": "None",
            "publishNotReadyAddresses": True,
            "selector": labels,
            "ports": [{"name": "rendezvous", "port": rendezvous_port(job), "protocol": "TCP"}],
        },
    }
