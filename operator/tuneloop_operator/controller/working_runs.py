"""Which deployments have a run of retraining whose job is at work: what the operator's limit of parallel runs counts.

A decision counts at once, before it is written: of many deployments that one schedule wakes in the same second, no more start than may. From then on
the job itself counts, whatever the loop of its deployment says: a loop waits with a published model, or stands still while its spec is refused.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tuneloop_operator.cluster.owners import owner_of
from tuneloop_operator.controller.manifest_blocks import mapping

if TYPE_CHECKING:
    from tuneloop_operator.cluster import Manifest

_CONFIRMED = "Confirmed"
"""State of a loop whose job is about to be created."""
_ENDS = {"Complete": "True", "Failed": "True", "Accepted": "False"}
"""Conditions of a FineTuneJob that does not work, or not any more."""


class WorkingRuns:
    """The deployments with such a run, by uid."""

    def __init__(self) -> None:
        self._confirmed: set[str] = set()
        self._jobs: dict[str, str] = {}
        """By the uid of each job at work the uid of its deployment."""

    def changed(self, manifest: Manifest) -> None:
        """Take in an object as it is stored, or with the status that was decided; whether that fits the model is not known."""
        match manifest["kind"]:
            case "ModelDeployment":
                self._deployment_changed(manifest)
            case "FineTuneJob":
                self._job_changed(manifest)

    def forget(self, uid: str) -> None:
        """Forget a deployment or a job that is gone. The job of a deployment that is gone works until it is gone, too."""
        self._confirmed.discard(uid)
        self._jobs.pop(uid, None)

    def besides(self, uid: str) -> int:
        """Return how many other deployments have such a run."""
        return len({*self._confirmed, *self._jobs.values()} - {uid})

    def _deployment_changed(self, manifest: Manifest) -> None:
        loop = mapping(mapping(manifest.get("status")).get("retraining"))
        if loop.get("state") == _CONFIRMED:
            self._confirmed.add(manifest["metadata"]["uid"])
        else:
            self._confirmed.discard(manifest["metadata"].get("uid", ""))

    def _job_changed(self, manifest: Manifest) -> None:
        uid, owner = manifest["metadata"].get("uid", ""), owner_of(manifest)
        if owner is not None and owner["kind"] == "ModelDeployment" and not _has_ended(manifest):
            self._jobs[uid] = owner["uid"]
        else:
            self._jobs.pop(uid, None)


def _has_ended(job: Manifest) -> bool:
    conditions: Any = mapping(job.get("status")).get("conditions")
    known = map(mapping, conditions if isinstance(conditions, list) else ())
    return any(_ENDS.get(found.get("type", ""), "") == found.get("status") for found in known)
