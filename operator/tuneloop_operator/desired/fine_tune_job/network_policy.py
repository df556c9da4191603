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

    The pods of `prepare` and `export` are closed to all others by the same rule: no training pod runs when they do, and nothing in them listens.
    """
    gang = job_labels(job, stage="train")
    return network_policy(
        owned_metadata(job, name=rendezvous_name(job), labels=gang),
        pods=job_labels(job),
        ingress=[{"from": [{"podSelector": {"matchLabels": gang}}]}],
        settings=settings,
        peers=gang,
    )
