"""The pods that the operator makes of an object: of each stage of a FineTuneJob, and of a model server."""

from __future__ import annotations

from typing import Any

from tuneloop_api.v1alpha1 import FineTuneJob, ModelDeployment
from tuneloop_operator.desired.common.storage import storage_of
from tuneloop_operator.desired.fine_tune_job.stage_job import stage_job
from tuneloop_operator.desired.fine_tune_job.train_job import train_job
from tuneloop_operator.desired.model_deployment.serving import ArtifactReference, server_config, server_deployment
from tuneloop_operator.settings.operator import OperatorSettings

Fields = dict[str, Any]
SETTINGS = OperatorSettings(default_claim="models")
STAGES = ("prepare", "train", "export")
_METADATA = {"name": "reviews", "namespace": "team-a", "uid": "11111111-2222-3333-4444-555555555555"}
_JOB: Fields = {
    "model": {"uri": "hf://org/model"},
    "task": "text-classification",
    "data": {"train": [{"uri": "pvc://models/raw/reviews.csv"}]},
}


def a_job(**spec: Any) -> FineTuneJob:
    """Return the FineTuneJob `reviews`."""
    manifest = {"apiVersion": "tuneloop.dev/v1alpha1", "kind": "FineTuneJob", "metadata": _METADATA}
    return FineTuneJob.from_wire(manifest | {"spec": _JOB | spec})


def a_deployment(**spec: Any) -> ModelDeployment:
    """Return the ModelDeployment `reviews`."""
    manifest = {"apiVersion": "tuneloop.dev/v1alpha1", "kind": "ModelDeployment", "metadata": _METADATA}
    return ModelDeployment.from_wire(manifest | {"spec": {"model": {"fineTuneJobRef": {"name": "reviews"}}} | spec})


def job_children(settings: OperatorSettings = SETTINGS, **spec: Any) -> Fields:
    """Return the Job of each stage, by stage."""
    job = a_job(**spec)
    storage = storage_of(job.spec, default_claim="models")
    assert storage is not None
    shared: Fields = {"storage": storage, "settings": settings}
    return {
        "prepare": stage_job(job, stage="prepare", **shared),
        "train": train_job(job, attempt=1, **shared),
        "export": stage_job(job, stage="export", **shared),
    }


def server(settings: OperatorSettings = SETTINGS, **spec: Any) -> Fields:
    """Return the Deployment of the servers."""
    deployment = a_deployment(**spec)
    config = server_config(deployment, ArtifactReference(uri="pvc://models/artifact", digest=None))
    return server_deployment(deployment, config, settings=settings)


def job_pods(settings: OperatorSettings = SETTINGS, **spec: Any) -> dict[str, Fields]:
    """Return the pod of each stage, by stage."""
    return {stage: pod_in(child) for stage, child in job_children(settings, **spec).items()}


def all_pods(settings: OperatorSettings = SETTINGS, **spec: Any) -> dict[str, Fields]:
    """Return the pods of a job and of the servers (`serve`), for fields that both kinds have."""
    return job_pods(settings, **spec) | {"serve": pod_in(server(settings, **spec))}


def pod_in(child: Fields) -> Fields:
    """Return the pod of a Job or Deployment."""
    pod: Fields = child["spec"]["template"]["spec"]
    return pod


def container_of(pod: Fields) -> Fields:
    """Return the one container of a pod."""
    (container,) = pod["containers"]
    found: Fields = container
    return found
