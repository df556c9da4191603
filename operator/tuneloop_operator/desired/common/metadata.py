"""Names, labels and owners of children."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tuneloop_api.wire.canonical import digest_of
from tuneloop_operator.names import (
    ATTEMPT_LABEL,
    DEPLOYMENT_LABEL,
    JOB_LABEL,
    MANAGED_BY,
    MANAGER,
    POD_DEFAULTS,
    REVISION_LABEL,
    STAGE_LABEL,
)

if TYPE_CHECKING:
    from tuneloop_api.contract.run_config import Stage
    from tuneloop_api.v1alpha1 import FineTuneJob, ModelDeployment
    from tuneloop_operator.settings.operator import OperatorSettings


def job_labels(job: FineTuneJob, *, stage: Stage | None = None, attempt: int | None = None) -> dict[str, str]:
    """Return the labels of a job's child."""
    labels = {MANAGED_BY: MANAGER, JOB_LABEL: job.metadata["name"]}
    if stage is not None:
        labels[STAGE_LABEL] = stage
    if attempt is not None:
        labels[ATTEMPT_LABEL] = str(attempt)
    return labels


def deployment_labels(deployment: ModelDeployment, revision: str | None = None) -> dict[str, str]:
    """Return the labels of a deployment's child."""
    labels = {MANAGED_BY: MANAGER, DEPLOYMENT_LABEL: deployment.metadata["name"]}
    return labels | ({REVISION_LABEL: revision} if revision is not None else {})


def owned_metadata(owner: FineTuneJob | ModelDeployment, *, name: str, labels: dict[str, str]) -> dict[str, Any]:
    """Return metadata with an owner reference, so that the child is removed with its owner."""
    reference = {
        "apiVersion": owner.api_version,
        "kind": owner.kind,
        "name": owner.metadata["name"],
        "uid": owner.metadata["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }
    return {
        "name": name,
        "namespace": owner.metadata["namespace"],
        "labels": labels,
        "ownerReferences": [reference],
    }


def defaults_annotation(settings: OperatorSettings) -> dict[str, Any]:
    """Return the part of the metadata that says what pods get from the chart; empty if they get nothing."""
    given = [part.to_wire() for part in (settings.pod_defaults, settings.trusted_ca) if part is not None]
    return {"annotations": {POD_DEFAULTS: digest_of(given)[:16]}} if any(given) else {}
