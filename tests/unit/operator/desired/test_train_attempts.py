"""The RunConfig and the nodes of a training attempt, from the spec and the status that is about to be written."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tuneloop_api.contract.defaults import config_hash, with_defaults
from tuneloop_api.v1alpha1 import FineTuneJob
from tuneloop_api.wire.model import changed
from tuneloop_operator.desired.common.storage import storage_of
from tuneloop_operator.desired.fine_tune_job.run_config import run_config
from tuneloop_operator.desired.fine_tune_job.stage_job import stage_job
from tuneloop_operator.desired.fine_tune_job.train_job import train_job
from tuneloop_operator.settings.operator import OperatorSettings

if TYPE_CHECKING:
    from tuneloop_api.contract.run_config import RunConfig, Stage

SPEC: dict[str, Any] = {
    "model": {"uri": "hf://FacebookAI/roberta-base"},
    "task": "text-classification",
    "data": {"train": [{"uri": "pvc://models/reviews.csv"}]},
    "resources": {"nodes": 4, "gpusPerNode": 2},
    "storage": {"claim": "models"},
}
SAVED = {"checkpoint": {"latest": {"step": 300}}}
SETTINGS = OperatorSettings()
ACCEPTS = {"tuneloop.dev/accept-lost-checkpoint": "true"}


def a_job(
    *, annotations: dict[str, str] | None = None, status: dict[str, Any] | None = None, **spec: Any
) -> FineTuneJob:
    metadata = {"name": "reviews", "namespace": "team-a", "uid": "11111111-2222-3333-4444-555555555555"}
    manifest = {
        "apiVersion": "tuneloop.dev/v1alpha1",
        "kind": "FineTuneJob",
        "metadata": metadata | ({"annotations": annotations} if annotations else {}),
        "spec": SPEC | spec,
    }
    return FineTuneJob.from_wire(manifest | ({"status": status} if status else {}))


def config_of(job: FineTuneJob, *, stage: Stage = "train", attempt: int = 2) -> RunConfig:
    storage = storage_of(job.spec, default_claim=None)
    assert storage is not None
    return run_config(job, stage=stage, attempt=attempt, storage=storage, settings=SETTINGS)


def gang_of(job: FineTuneJob) -> dict[str, Any]:
    storage = storage_of(job.spec, default_claim=None)
    assert storage is not None
    return train_job(job, attempt=2, storage=storage, settings=SETTINGS)


def pod_of(job: FineTuneJob) -> dict[str, Any]:
    pod: dict[str, Any] = gang_of(job)["spec"]["template"]["spec"]
    return pod


@pytest.mark.parametrize(
    ("status", "nodes"),
    [
        pytest.param(None, 4, id="as the spec asks"),
        pytest.param({"attempt": 2}, 4, id="not made smaller"),
        pytest.param({"attempt": 2, "nodes": 3}, 3, id="made smaller"),
    ],
)
def test_pods_and_ranks_are_those_of_the_attempt(status: dict[str, Any] | None, nodes: int) -> None:
    job = a_job(status=status)
    spec = gang_of(job)["spec"]
    assert (spec["completions"], spec["parallelism"], config_of(job).settings.gang.nodes) == (nodes, nodes, nodes)


def test_checkpoints_of_an_attempt_fit_those_of_a_smaller_one() -> None:
    job = a_job(status={"nodes": 1})
    assert config_of(job).config_hash == config_hash(with_defaults(job.spec)) == config_of(a_job()).config_hash
    assert config_of(a_job(training={"learningRate": 1e-6})).config_hash != config_of(job).config_hash


@pytest.mark.parametrize("stage", ["prepare", "export"])
def test_the_other_stages_get_the_settings_of_the_spec(stage: Stage) -> None:
    config = config_of(
        a_job(status=SAVED | {"nodes": 1, "microBatchSize": 2, "resumeBefore": 9}), stage=stage, attempt=0
    )
    assert config.settings.gang.nodes == 4
    assert (config.micro_batch_size, config.resume_before, config.expected_step) == (None, None, None)


def test_an_attempt_gets_its_micro_batch_and_the_checkpoint_that_it_must_not_resume_from() -> None:
    config = config_of(a_job(status=SAVED | {"microBatchSize": 2, "resumeBefore": 200}))
    assert (config.micro_batch_size, config.resume_before) == (2, 200)


NEVER = {"checkpoint": {"resume": "never"}}


@pytest.mark.parametrize(
    ("job", "attempt", "step"),
    [
        pytest.param(a_job(), 1, None, id="nothing was saved yet"),
        pytest.param(a_job(status=SAVED), 2, 300, id="a checkpoint is known"),
        pytest.param(a_job(status=SAVED, annotations=ACCEPTS), 2, None, id="a person accepts that it is lost"),
        pytest.param(a_job(status=SAVED, annotations=dict.fromkeys(ACCEPTS, "false")), 2, 300, id="a person does not"),
        pytest.param(a_job(status=SAVED | {"resumeBefore": 300}), 2, None, id="it must resume from an older one"),
        pytest.param(a_job(status=SAVED, **NEVER), 1, 300, id="a queue took its nodes back, and gave them again"),
        pytest.param(a_job(status=SAVED, **NEVER), 2, 300, id="a restart of one that began at step 0"),
    ],
)
def test_an_attempt_gets_the_checkpoint_that_it_must_find(job: FineTuneJob, attempt: int, step: int | None) -> None:
    assert config_of(job, attempt=attempt).expected_step == step


@pytest.mark.parametrize(
    ("job", "stage", "is_named"),
    [
        pytest.param(a_job(**NEVER), "prepare", True, id="it starts at step 0"),
        pytest.param(a_job(status={"attempt": 1}, **NEVER), "prepare", True, id="the same run prepares once more"),
        pytest.param(a_job(**NEVER), "train", False, id="training removes nothing"),
        pytest.param(a_job(), "prepare", False, id="it may resume"),
    ],
)
def test_a_run_that_starts_at_step_0_is_named_by_its_creation(job: FineTuneJob, stage: Stage, is_named: bool) -> None:
    created = {"creationTimestamp": "2026-01-01T12:00:00Z"}
    found = config_of(changed(job, metadata=job.metadata | created), stage=stage, attempt=0).fresh_run_id
    assert found == (created["creationTimestamp"] if is_named else None)


BAD = {"avoidedNodes": [{"name": "node-1", "reason": "Hang"}, {"name": "node-2", "reason": "Collective"}]}


def test_pods_stay_away_from_nodes_that_the_job_failed_on() -> None:
    (term,) = pod_of(a_job(status=BAD))["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"][
        "nodeSelectorTerms"
    ]
    assert term["matchFields"] == [
        {"key": "metadata.name", "operator": "NotIn", "values": [name]} for name in ("node-1", "node-2")
    ]


@pytest.mark.parametrize(
    "job",
    [
        pytest.param(a_job(), id="no node is bad"),
        pytest.param(a_job(status={"avoidedNodes": []}), id="none is any more"),
        pytest.param(a_job(status=BAD, scheduling={"avoidBadNodes": False}), id="the spec says so"),
    ],
)
def test_pods_run_anywhere_where(job: FineTuneJob) -> None:
    assert "affinity" not in pod_of(job)


def test_only_the_gang_waits_in_the_queue() -> None:
    job = a_job(scheduling={"queueName": "team-a"})
    gang = gang_of(job)
    assert (gang["metadata"]["labels"]["kueue.x-k8s.io/queue-name"], gang["spec"]["suspend"]) == ("team-a", True)
    assert not [key for key in gang["metadata"].get("annotations", {}) if "kueue" in key]
    storage = storage_of(job.spec, default_claim=None)
    assert storage is not None
    for stage in ("prepare", "export"):
        other = stage_job(job, stage=stage, storage=storage, settings=SETTINGS)  # type: ignore[arg-type]
        assert "suspend" not in other["spec"]
        assert "kueue.x-k8s.io/queue-name" not in other["metadata"]["labels"]


def test_pods_have_the_priority_that_the_spec_names() -> None:
    assert pod_of(a_job(scheduling={"priorityClassName": "batch-low"}))["priorityClassName"] == "batch-low"


def test_without_scheduling_the_pods_have_no_field_of_it() -> None:
    assert not {"priorityClassName", "affinity"} & pod_of(a_job()).keys()
    assert "suspend" not in gang_of(a_job())["spec"]
