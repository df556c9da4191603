"""The sender of progress on a cluster. The API server says which pod holds the token; the store says whether the pod belongs to the job."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast, get_args

from tuneloop_api.contract.run_config import Stage
from tuneloop_api.wire.names import token_audience
from tuneloop_operator.cluster.owners import owner_uid
from tuneloop_operator.names import ATTEMPT_LABEL, STAGE_LABEL
from tuneloop_operator.progress.server import Identity

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tuneloop_operator.cluster import Manifest
    from tuneloop_operator.progress.reviewed_tokens import TokenReviews


class TokenReviewAuthenticator:
    """Checks that the holder of a token is a pod of the job that it posts for. The pod's owner is checked for each message."""

    def __init__(
        self,
        *,
        reviews: TokenReviews,
        job_of: Callable[[str, str], Manifest | None],
        children_of: Callable[[str, str], Iterable[Manifest]],
    ) -> None:
        """Both functions get namespace and name of a FineTuneJob. children_of returns the objects with its label, at least Jobs and pods."""
        self._reviews = reviews
        self._job_of = job_of
        self._children_of = children_of

    async def authenticate(self, token: str, *, namespace: str, name: str) -> Identity | None:
        """Return the sender; None if the token is not valid for this job. Raises `ClusterError` if the token cannot be checked now."""
        job = self._job_of(namespace, name)
        if job is None:
            return None
        holder = await self._reviews.holder(token, audience=token_audience(job["metadata"]["uid"]))
        if holder is None:
            return None
        if not holder.username.startswith(f"system:serviceaccount:{namespace}:"):
            return Identity(name=holder.username, may_report=False)
        pod = self._pod(job, holder.pod_uid)
        sender = f"pod {holder.pod_name}" if holder.pod_name else holder.username
        return Identity(name=sender, may_report=False) if pod is None else _identity(sender, pod=pod, job=job)

    def _pod(self, job: Manifest, uid: str | None) -> Manifest | None:
        """Return the pod of this uid if a Job of this FineTuneJob owns it. Its label alone proves nothing: anybody can write labels."""
        metadata = job["metadata"]
        children = list(self._children_of(metadata["namespace"], metadata["name"]))
        jobs = {
            child["metadata"]["uid"]
            for child in children
            if child["kind"] == "Job" and owner_uid(child) == metadata["uid"]
        }
        pods = (child for child in children if child["kind"] == "Pod" and child["metadata"]["uid"] == uid)
        return next((pod for pod in pods if owner_uid(pod) in jobs), None)


def _identity(sender: str, *, pod: Manifest, job: Manifest) -> Identity:
    labels = pod["metadata"].get("labels") or {}
    stage, attempt = labels.get(STAGE_LABEL), labels.get(ATTEMPT_LABEL, "")
    if stage not in get_args(Stage) or not attempt.isdecimal():
        return Identity(name=sender, may_report=False)
    newest = int((job.get("status") or {}).get("attempt") or 0)
    if stage == "train" and int(attempt) < newest:
        return Identity(
            name=sender, may_report=False, why_not=f"{sender} is of attempt {attempt}; attempt {newest} is on"
        )
    return Identity(name=sender, may_report=True, stage=cast("Stage", stage), attempt=int(attempt))
