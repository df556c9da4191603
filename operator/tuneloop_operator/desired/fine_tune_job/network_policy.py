"""The NetworkPolicy of a job's pods. The rendezvous of a gang has no authentication: whoever reaches it can run code in the pods."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneloop_operator.desired.common.metadata import job_labels, owned_metadata
from tuneloop_operator.desired.common.network_policy import network_policy
from tuneloop_operator.names import rendezvous_name

if TYPE_CHECKING:
    from tuneloop_api.v1alpha1 import FineTuneJob
    from tuneloop_operator.cluster import Manifest
    from tuneloop_operator.settings.operator import OperatorSettings


def job_policy(job: FineTuneJob, *, settings: OperatorSettings) -> Manifest:
    """Return a policy by which only training pods of the same job may open connections to the pods of the job.

    So nobody reaches the pods of `prepare` and `export`: no training pod runs when they do.
    """
    gang = job_labels(job, stage="train")
    return network_policy(
        owned_metadata(job, name=rendezvous_name(job), labels=gang),
        pods=job_labels(job),
        ingress=[{"from": [{"podSelector": {"matchLabels": gang}}]}],
        egress=settings.egress,
        peers=gang,
    )


def first_release_policy(job: FineTuneJob) -> Manifest:
    """Return the policy that release 0.1.0 made: the same for training pods alone."""
    gang = job_labels(job, stage="train")
    return network_policy(
        owned_metadata(job, name=rendezvous_name(job), labels=gang),
        pods=gang,
        ingress=[{"from": [{"podSelector": {"matchLabels": gang}}]}],
    )
