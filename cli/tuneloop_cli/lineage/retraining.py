"""What asked for a job: its annotations, and the run in a deployment's `status.retraining.history`. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tuneloop_cli.views.values import at
from tuneloop_operator.names import (
    CHAMPION_DIGEST,
    CHAMPION_REVISION,
    FEEDBACK_CUTOFF,
    RETRAINING_LABEL,
    RETRAINING_TRIGGER,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tuneloop_cli.lineage.documents import Document


def retraining_facts(job: Document, deployments: Iterable[Document]) -> dict[str, Any]:
    """Return trigger, cutoff of feedback and champion of a job, and how its run ended. The history has the newest runs alone: of older ones the outcome is not recorded."""
    metadata = job["metadata"]
    asked_by = (metadata.get("labels") or {}).get(RETRAINING_LABEL)
    if asked_by is None:
        return {"trigger": "none: no deployment asked for the job"}
    annotations = metadata.get("annotations") or {}
    return {
        "retrainingOf": asked_by,
        "trigger": annotations.get(RETRAINING_TRIGGER),
        "feedbackCutoff": annotations.get(FEEDBACK_CUTOFF),
        "championRevision": annotations.get(CHAMPION_REVISION),
        "championDigest": annotations.get(CHAMPION_DIGEST),
        "outcome": _run_of(job, asked_by, deployments).get("outcome"),
    }


def _run_of(job: Document, asked_by: str, deployments: Iterable[Document]) -> Document:
    metadata = job["metadata"]
    for deployment in deployments:
        if deployment["metadata"]["name"] == asked_by:
            for run in at(deployment, "status.retraining.history") or ():
                if run.get("job") == metadata["name"] and run.get("jobUid") in {None, metadata.get("uid")}:
                    return dict(run)
    return {}
