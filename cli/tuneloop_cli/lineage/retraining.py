"""What asked for a job: the run in a deployment's `status.retraining.history`. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tuneloop_cli.views.values import at
from tuneloop_operator.names import RETRAINING_LABEL

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tuneloop_cli.lineage.documents import Document


def retraining_facts(job: Document, deployments: Iterable[Document]) -> dict[str, Any]:
    """Return trigger, cutoff of feedback and champion of a job. The history has the newest runs alone: of older ones nothing is recorded."""
    asked_by = (job["metadata"].get("labels") or {}).get(RETRAINING_LABEL)
    if asked_by is None:
        return {"trigger": "none: no deployment asked for the job"}
    run = _run_of(job, asked_by, deployments)
    return {
        "retrainingOf": asked_by,
        "trigger": run.get("trigger"),
        "feedbackCutoff": run.get("startedAt"),
        "championRevision": run.get("champion"),
        "championDigest": run.get("championDigest"),
        "outcome": run.get("outcome"),
    }


def _run_of(job: Document, asked_by: str, deployments: Iterable[Document]) -> Document:
    metadata = job["metadata"]
    for deployment in deployments:
        if deployment["metadata"]["name"] == asked_by:
            for run in at(deployment, "status.retraining.history") or ():
                if run.get("job") == metadata["name"] and run.get("jobUid") in {None, metadata.get("uid")}:
                    return dict(run)
    return {}
