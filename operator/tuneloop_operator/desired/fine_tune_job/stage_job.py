"""The Jobs of `prepare` and `export`, with one pod on CPU, and the pod that all stages share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from tuneloop_api.contract.run_config import RUN_CONFIG_PATH
from tuneloop_api.v1alpha1.common import ResourceAmounts
from tuneloop_api.wire.names import COMPLETION_INDEX, token_audience
from tuneloop_operator.desired.common.environment import environment, network_variables
from tuneloop_operator.desired.common.metadata import job_labels, owned_metadata
from tuneloop_operator.desired.common.placement import identity_fields, placement_fields, pod_metadata
from tuneloop_operator.desired.common.pod import (
    container_security,
    image_of,
    plain_env,
    pod_security,
    scratch_mounts,
    scratch_volumes,
)
from tuneloop_operator.desired.common.resources import container_resources
from tuneloop_operator.desired.common.storage import claim_volumes
from tuneloop_operator.desired.common.volumes import given_volumes
from tuneloop_operator.desired.fine_tune_job.access import access_variables
from tuneloop_operator.names import TRAINER_CONTAINER, job_name
from tuneloop_operator.settings.operator import TOKEN_DIRECTORY

if TYPE_CHECKING:
    from tuneloop_api.contract.run_config import Stage
    from tuneloop_api.v1alpha1 import FineTuneJob
    from tuneloop_operator.cluster import Manifest
    from tuneloop_operator.desired.common.storage import JobStorage
    from tuneloop_operator.settings.operator import OperatorSettings

_TOKEN_SECONDS = 3600


def stage_job(
    job: FineTuneJob, *, stage: Literal["prepare", "export"], storage: JobStorage, settings: OperatorSettings
) -> Manifest:
    """Return the Job of `prepare` or `export`: one pod, which the Job controller never restarts.

    `spec.scheduling` places the training pods alone. This pod needs no GPU, so that only the administrator's defaults place it.
    """
    resources = job.spec.resources
    given = getattr(resources, stage) if resources else None
    amounts: ResourceAmounts = given or ResourceAmounts()
    pod = stage_pod(job, stage=stage, attempt=0, storage=storage, settings=settings)
    pod["containers"][0] |= {
        "command": ["python", "-m", "tuneloop_trainer", stage, RUN_CONFIG_PATH],
        "resources": container_resources(amounts),
    }
    labels = job_labels(job, stage=stage, attempt=0)
    pod |= placement_fields(None, settings, labels=labels)
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": owned_metadata(job, name=job_name(job, stage=stage), labels=labels),
        "spec": {
            "backoffLimit": 0,
            "template": {"metadata": pod_metadata(labels, job.spec, settings), "spec": pod},
        },
    }


def stage_pod(
    job: FineTuneJob, *, stage: Stage, attempt: int, storage: JobStorage, settings: OperatorSettings
) -> dict[str, Any]:
    """Return the pod that all stages share. The caller adds command and resources to its one container, and where it runs."""
    image = (job.status and job.status.image) or job.spec.image or settings.trainer_image
    read_only = storage.read_only | (storage.feedback_claims if stage == "prepare" else frozenset())
    claims, claim_mounts = claim_volumes(writable=[storage.claim], read_only=read_only)
    given, given_mounts = given_volumes(job.spec, settings)
    return {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": pod_security(settings),
        **identity_fields(job.spec, settings),
        "containers": [
            {
                "name": TRAINER_CONTAINER,
                **image_of(image, settings, policy=job.spec.image_pull_policy),
                "env": environment(
                    _own_variables(job, stage, storage, settings), job.spec, settings, hides_secrets=True
                ),
                "securityContext": container_security(),
                "terminationMessagePolicy": "FallbackToLogsOnError",
                "volumeMounts": [
                    *scratch_mounts(),
                    {"name": "token", "mountPath": TOKEN_DIRECTORY, "readOnly": True},
                    *claim_mounts,
                    *given_mounts,
                ],
            }
        ],
        "volumes": [
            *scratch_volumes(config_map=job_name(job, stage=stage, attempt=attempt)),
            {"name": "token", "projected": {"sources": [{"serviceAccountToken": _token(job)}]}},
            *claims,
            *given,
        ],
    }


def _own_variables(
    job: FineTuneJob, stage: Stage, storage: JobStorage, settings: OperatorSettings
) -> list[dict[str, Any]]:
    """Return the variables that the operator sets. Only `prepare` reads the hub and buckets, so that no other stage gets what opens them."""
    variables = plain_env()
    if stage == "train":
        index = f"metadata.annotations['{COMPLETION_INDEX}']"
        variables.append({"name": "NODE_RANK", "valueFrom": {"fieldRef": {"fieldPath": index}}})
        variables += network_variables(job.spec.network)
    if stage == "prepare":
        variables += access_variables(job.spec, settings, feedback_secrets=storage.feedback_secrets)
    return variables


def _token(job: FineTuneJob) -> dict[str, Any]:
    """Return the projection of a token that is valid for the progress of this job only."""
    audience = token_audience(job.metadata["uid"])
    return {"audience": audience, "expirationSeconds": _TOKEN_SECONDS, "path": "token"}
