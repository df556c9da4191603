"""Which deployments have a run of retraining whose job is at work: what the operator's limit of parallel runs counts.

A decision counts at once, before it is written: of many deployments that one schedule wakes in the same second, no more start than may.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tuneloop_operator.cluster import Manifest

AT_WORK = frozenset({"Confirmed", "Training", "Evaluating"})
"""States of the loop in which a job is about to be created, waits, trains or measures. Later the model is rolled out, and holds no GPU of a job."""


class WorkingRuns:
    """The deployments with such a run, by uid."""

    def __init__(self) -> None:
        self._uids: set[str] = set()

    def changed(self, manifest: Manifest) -> None:
        """Take in an object as it is stored, or with the status that was decided; whether that fits the model is not known."""
        if manifest["kind"] != "ModelDeployment":
            return
        status = manifest.get("status")
        loop = status.get("retraining") if isinstance(status, dict) else None
        state = loop.get("state") if isinstance(loop, dict) else None
        if isinstance(state, str) and state in AT_WORK:
            self._uids.add(manifest["metadata"]["uid"])
        else:
            self.forget(manifest["metadata"].get("uid", ""))

    def forget(self, uid: str) -> None:
        """Forget a deployment that is gone."""
        self._uids.discard(uid)

    def besides(self, uid: str) -> int:
        """Return how many other deployments have such a run."""
        return len(self._uids - {uid})
