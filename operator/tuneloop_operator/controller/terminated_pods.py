"""The last versions of pods that are gone and showed why they ended. The API server no longer has them.

A pod is kept as long as its Job exists. The pods of an object's last Job are kept after the Job is gone, too, because pods may outlive their
Job by their grace period. All of them are forgotten with the object.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tuneloop_operator.cluster import Manifest

    ObjectKey = tuple[str, str, str]


class TerminatedPods:
    """Pods by the uid of their Job. `owner` is the key of the FineTuneJob."""

    def __init__(self) -> None:
        self._pods: dict[str, list[Manifest]] = {}
        self._last_job: dict[ObjectKey, str] = {}
        """By owner: the uid of the last Job that is gone."""

    def of(self, job_uid: str) -> Iterator[Manifest]:
        """Yield the pods of a Job."""
        yield from self._pods.get(job_uid, ())

    def add(self, pod: Manifest, *, job_uid: str) -> None:
        """Keep a pod."""
        self._pods.setdefault(job_uid, []).append(pod)

    def is_last_job(self, job_uid: str, *, owner: ObjectKey | None) -> bool:
        """Whether this is the last Job of its owner that is gone."""
        return owner is not None and self._last_job.get(owner) == job_uid

    def job_gone(self, job_uid: str, *, owner: ObjectKey | None) -> None:
        """Forget the pods of the owner's last Job, and keep those of this Job instead. owner: None if that is gone or unknown."""
        if owner is None:
            self._pods.pop(job_uid, None)
            return
        self._pods.pop(self._last_job.get(owner, ""), None)
        self._last_job[owner] = job_uid

    def owner_gone(self, owner: ObjectKey) -> None:
        """Forget the pods of the owner's last Job."""
        self._pods.pop(self._last_job.pop(owner, ""), None)


def shows_why(pod: Manifest) -> bool:
    """Whether a pod has ended, or is about to be disrupted."""
    status = pod.get("status") or {}
    states = [container.get("state") or {} for container in status.get("containerStatuses") or ()]
    is_disrupted = any(condition["type"] == "DisruptionTarget" for condition in status.get("conditions") or ())
    return is_disrupted or status.get("phase") == "Failed" or any("terminated" in state for state in states)
