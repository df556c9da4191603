"""The children of FineTuneJobs that are written down whole in `tests/golden/operator`."""

from __future__ import annotations

from typing import Any

from golden_specs import FOURTH_ATTEMPT, ON_HOST_NETWORK, QUEUED, SETTINGS

from tuneloop_api.v1alpha1 import FineTuneJob
from tuneloop_api.wire.model import changed
from tuneloop_operator.desired.common.storage import storage_of
from tuneloop_operator.desired.fine_tune_job.config_map import run_config_map
from tuneloop_operator.desired.fine_tune_job.network_policy import job_policy
from tuneloop_operator.desired.fine_tune_job.service import rendezvous_service
from tuneloop_operator.desired.fine_tune_job.stage_job import stage_job
from tuneloop_operator.desired.fine_tune_job.train_job import train_job
from tuneloop_operator.settings.operator import OperatorSettings

RESULT = {"path": "/tuneloop/claims/models/jobs/reviews-11111111/prepare.json", "sha256": "b" * 64}


def fine_tune_job(name: str, spec: dict[str, Any], status: dict[str, Any] | None = None) -> FineTuneJob:
    children = {
        "prepare": {"name": f"{name}-prepare", "uid": "2", "ended": True, "result": RESULT},
        "train": {"name": f"{name}-a1", "uid": "3", "ended": True, "result": RESULT},
    }
    manifest = {
        "apiVersion": "tuneloop.dev/v1alpha1",
        "kind": "FineTuneJob",
        "metadata": {"name": name, "namespace": "team-a", "uid": "11111111-2222-3333-4444-555555555555"},
        "spec": spec,
        "status": {"attempt": 1, "children": children} | (status or {}),
    }
    return FineTuneJob.from_wire(manifest)


def job_children(name: str, spec: dict[str, Any], settings: OperatorSettings) -> list[dict[str, Any]]:
    job = fine_tune_job(name, spec)
    storage = storage_of(job.spec, default_claim=settings.default_claim)
    assert storage is not None
    shared = {"storage": storage, "settings": settings}
    return [
        run_config_map(job, stage="prepare", attempt=0, **shared),
        stage_job(job, stage="prepare", **shared),
        rendezvous_service(job),
        job_policy(job, settings=settings),
        run_config_map(job, stage="train", attempt=1, **shared),
        train_job(job, attempt=1, **shared),
        run_config_map(job, stage="export", attempt=0, **shared),
        stage_job(job, stage="export", **shared),
    ]


def fourth_attempt() -> list[dict[str, Any]]:
    job = fine_tune_job("reviews-queued", QUEUED, FOURTH_ATTEMPT)
    storage = storage_of(job.spec, default_claim=None)
    assert storage is not None
    given = {"attempt": 4, "storage": storage, "settings": SETTINGS}
    return [run_config_map(job, stage="train", **given), train_job(job, **given)]


def children_on_host_network() -> list[dict[str, Any]]:
    job = fine_tune_job("reviews-infiniband", ON_HOST_NETWORK)
    storage = storage_of(job.spec, default_claim="models")
    assert storage is not None
    shared = {"storage": storage, "settings": changed(SETTINGS, allow_host_network=True)}
    return [
        stage_job(job, stage="prepare", **shared),
        rendezvous_service(job),
        run_config_map(job, stage="train", attempt=1, **shared),
        train_job(job, attempt=1, **shared),
    ]
