"""Who posts progress on a cluster: the API server says whose token it is, the store says whether that pod belongs to the job."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections import OrderedDict
from typing import TYPE_CHECKING, NamedTuple, Protocol, cast, get_args

from tuneloop_api.contract.run_config import Stage
from tuneloop_api.wire.names import token_audience
from tuneloop_operator.cluster.owners import owner_uid
from tuneloop_operator.names import ATTEMPT_LABEL, STAGE_LABEL
from tuneloop_operator.progress.server import Identity

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tuneloop_operator.cluster import Manifest
    from tuneloop_operator.cluster.token_reviews import TokenIdentity

_GOOD_SECONDS = 300.0
_BAD_SECONDS = 5.0
_REMEMBERED = 10_000
_REVIEWS_AT_ONCE = 8
"""So that a flood of bad tokens waits here, and not at the API server."""


class Reviewer(Protocol):
    """What is asked of an API server."""

    async def review_token(self, token: str, *, audience: str) -> TokenIdentity | None:
        """Return who holds a token that is meant for this audience; None if it is not good. Raises `ClusterError`."""


class _Verdict(NamedTuple):
    holder: TokenIdentity | None
    until: float


class TokenReviewAuthenticator:
    """Tells whether a token is held by a pod of the job that it posts for."""

    def __init__(
        self,
        *,
        cluster: Reviewer,
        job_of: Callable[[str, str], Manifest | None],
        children_of: Callable[[str, str], Iterable[Manifest]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Both functions get namespace and name of a FineTuneJob; `children_of` returns what carries its label, Jobs and pods at least.

        Verdicts on tokens are kept: good ones for five minutes, others for five seconds. Whose pod it is is looked up for each post.
        """
        self._cluster = cluster
        self._job_of = job_of
        self._children_of = children_of
        self._clock = clock
        self._verdicts: OrderedDict[bytes, _Verdict] = OrderedDict()
        self._reviews = asyncio.Semaphore(_REVIEWS_AT_ONCE)

    async def authenticate(self, token: str, *, namespace: str, name: str) -> Identity | None:
        """Return who posts; None if the token is not good for this job. Raises `ClusterError` if nobody can say."""
        job = self._job_of(namespace, name)
        if job is None:
            return None
        holder = await self._holder(token, audience=token_audience(job["metadata"]["uid"]))
        if holder is None:
            return None
        if not holder.username.startswith(f"system:serviceaccount:{namespace}:"):
            return Identity(name=holder.username, may_report=False)
        pod = self._pod(job, holder.pod_uid)
        who = f"pod {holder.pod_name}" if holder.pod_name else holder.username
        return Identity(name=who, may_report=False) if pod is None else _identity(who, pod=pod, job=job)

    async def _holder(self, token: str, *, audience: str) -> TokenIdentity | None:
        key = hashlib.sha256(f"{audience}\0{token}".encode()).digest()
        async with self._reviews:
            known = self._verdicts.get(key)
            asked = self._clock()
            if known is not None and asked < known.until:
                return known.holder
            holder = await self._cluster.review_token(token, audience=audience)
            self._keep(key, _Verdict(holder, asked + (_GOOD_SECONDS if holder else _BAD_SECONDS)))
            return holder

    def _keep(self, key: bytes, verdict: _Verdict) -> None:
        self._verdicts.pop(key, None)
        self._verdicts[key] = verdict
        while len(self._verdicts) > _REMEMBERED:
            self._verdicts.popitem(last=False)

    def _pod(self, job: Manifest, uid: str | None) -> Manifest | None:
        """Return the pod of this uid if a Job of this very FineTuneJob owns it; a label alone anybody can write."""
        metadata = job["metadata"]
        children = list(self._children_of(metadata["namespace"], metadata["name"]))
        jobs = {
            one["metadata"]["uid"] for one in children if one["kind"] == "Job" and owner_uid(one) == metadata["uid"]
        }
        pods = (one for one in children if one["kind"] == "Pod" and one["metadata"]["uid"] == uid)
        return next((one for one in pods if owner_uid(one) in jobs), None)


def _identity(who: str, *, pod: Manifest, job: Manifest) -> Identity:
    labels = pod["metadata"].get("labels") or {}
    stage, attempt = labels.get(STAGE_LABEL), labels.get(ATTEMPT_LABEL, "")
    if stage not in get_args(Stage) or not attempt.isdecimal():
        return Identity(name=who, may_report=False)
    newest = int((job.get("status") or {}).get("attempt") or 0)
    if stage == "train" and int(attempt) < newest:
        return Identity(name=who, may_report=False, why_not=f"{who} is of attempt {attempt}; attempt {newest} is on")
    return Identity(name=who, may_report=True, stage=cast("Stage", stage), attempt=int(attempt))
