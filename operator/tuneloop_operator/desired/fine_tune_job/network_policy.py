"""The NetworkPolicy of a gang. The rendezvous has no authentication: whoever reaches it can run code in the pods."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneloop_operator.desired.common.metadata import job_labels, owned_metadata
from tuneloop_operator.names import rendezvous_name

if TYPE_CHECKING:
    from tuneloop_api.v1alpha1 import FineTuneJob
    from tuneloop_operator.cluster import Manifest


def gang_policy(job: FineTuneJob) -> Manifest:
    """Return a policy by which only training pods of the same job may open connections to its training pods."""
    labels = job_labels(job, stage="train")
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": owned_metadata(job, name=rendezvous_name(job), labels=labels),
        "spec": {
            "podSelector": {"matchLabels": labels},
            "policyTypes": ["Ingress"],
            "ingress": [{"from": [{"podSelector": {"matchLabels": labels}}]}],
        },
    }
