"""What the operator has observed of a FineTuneJob, made by hand for tests of its decisions: the job, its Jobs, their pods."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from stage_messages import success

from tuneloop_api.v1alpha1 import FineTuneJob
from tuneloop_operator.decide.fine_tune_job.job import decide
from tuneloop_operator.settings.operator import OperatorSettings
from tuneloop_operator.state.observed import ContainerEnd, JobView, ObservedJob, PodView

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
STAMP = "2026-01-01T12:00:00Z"
SETTINGS = OperatorSettings(default_claim="models")
RESULT = {"path": "/tuneloop/claims/models/result.json", "sha256": "a" * 64}
PREPARED = {"prepare": {"name": "r-prepare", "uid": "u-prepare", "ended": True, "result": RESULT}}
FINISHED: dict[str, Any] = {
    "conditions": [{"type": "Failed", "status": "True", "reason": "Data", "message": "", "lastTransitionTime": STAMP}]
}
"""What the status of a failed job has besides."""
TRAINING: dict[str, Any] = {
    "startTime": STAMP,
    "attempt": 1,
    "image": "trainer:1",
    "resolved": {"storageClaim": "models"},
    "children": PREPARED | {"train": {"name": "r-a1", "uid": "u-a1"}},
}
"""The status of a job whose first gang was created."""


def seconds(count: float) -> timedelta:
    """Return a span of time."""
    return timedelta(seconds=count)


def a_job(status: dict[str, Any] | None = None, **spec: Any) -> FineTuneJob:
    """Return the FineTuneJob `r` of two nodes."""
    usual = {
        "model": {"uri": "hf://a/b"},
        "task": "text-classification",
        "data": {"train": [{"uri": "pvc://models/x.csv"}]},
        "resources": {"nodes": 2, "gpusPerNode": 0},
    }
    metadata = {"name": "r", "namespace": "n", "uid": "u-r", "resourceVersion": "1"}
    manifest = {"apiVersion": "tuneloop.dev/v1alpha1", "kind": "FineTuneJob", "metadata": metadata}
    return FineTuneJob.from_wire(manifest | {"spec": usual | spec} | ({"status": status} if status else {}))


def gang_job(attempt: int = 1, **fields: Any) -> JobView:
    """Return the training Job of an attempt, created at NOW."""
    usual = {"name": f"r-a{attempt}", "uid": f"u-a{attempt}", "stage": "train", "attempt": attempt, "created": NOW}
    return JobView(**usual | fields)


def stage_job(stage: str, **fields: Any) -> JobView:
    """Return the Job of `prepare` or `export`, created at NOW."""
    usual = {"name": f"r-{stage}", "uid": f"u-{stage}", "stage": stage, "attempt": 0, "created": NOW}
    return JobView(**usual | fields)


def pod_of(job: JobView, index: int = 0, **fields: Any) -> PodView:
    """Return a running pod of a Job, created at NOW."""
    usual = {
        "name": f"{job.name}-{index}",
        "uid": f"{job.uid}-{index}",
        "stage": job.stage,
        "attempt": job.attempt,
        "owner": job.uid,
        "index": index,
        "phase": "Running",
        "node": f"node-{index}",
        "created": NOW,
    }
    return PodView(**usual | fields)


def ended(code: int = 0, *, at: float = 0.0, text: str = "", reason: str = "") -> ContainerEnd:
    """Return the end of a container, `at` seconds after NOW."""
    return ContainerEnd(exit_code=code, message=text, reason=reason, finished=NOW + seconds(at))


def succeeded_pod(job: JobView, index: int = 0, **fields: Any) -> PodView:
    """Return a pod that ended well and says what its stage made."""
    return pod_of(job, index, phase="Succeeded", ended=ended(text=success(job.stage)), **fields)


def observed(
    job: FineTuneJob, *, jobs: tuple[JobView, ...] = (), pods: tuple[PodView, ...] = (), **fields: Any
) -> ObservedJob:
    """Return the whole input of a decision; of the gang's own children all are there."""
    usual: dict[str, Any] = {"manifest": {}, "present": {}}
    return ObservedJob(job=job, jobs=jobs, pods=pods, **usual | fields)


def writes(
    observed_job: ObservedJob, *, after: float = 0.0, settings: OperatorSettings = SETTINGS
) -> tuple[list[str], dict[str, Any] | None]:
    """Decide `after` seconds from NOW; return what would be written besides the status, in order, and the new status."""
    decision = decide(observed_job, now=NOW + seconds(after), settings=settings)
    lines = [f"delete {deletion.kind} {deletion.name}" for deletion in decision.delete]
    lines += [f"apply {manifest['kind']} {manifest['metadata']['name']}" for manifest in decision.apply]
    lines += [f"create {manifest['kind']} {manifest['metadata']['name']}" for manifest in decision.create]
    return lines, decision.status
