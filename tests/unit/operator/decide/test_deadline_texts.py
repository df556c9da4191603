"""Each deadline: when it passes, to the second, and every word of the failure."""

from __future__ import annotations

from typing import Any

import pytest
from observed_jobs import NOW, SETTINGS, STAMP, TRAINING, a_job, gang_job, observed, pod_of, seconds, stage_job

from tuneloop_api.v1alpha1.fine_tune_job.status import FineTuneJobStatus
from tuneloop_operator.decide.fine_tune_job.deadlines import overdue, refusals_in, requeue_after, waits_for_start

GANG = gang_job()
RUNS = TRAINING | {"runningSince": STAMP}
PREPARING = {"startTime": STAMP, "children": {"prepare": {"name": "r-prepare", "uid": "u-prepare"}}}


def left(status: dict[str, Any], *, after: float = 0.0, **given: Any) -> float | None:
    found = observed(a_job(**given.pop("spec", {})), **given)
    return requeue_after(found, FineTuneJobStatus.from_wire(status), now=NOW + seconds(after), settings=SETTINGS)


def failure(status: dict[str, Any], *, after: float, **given: Any) -> dict[str, Any] | None:
    found = observed(a_job(**given.pop("spec", {})), **given)
    passed = overdue(found, FineTuneJobStatus.from_wire(status), now=NOW + seconds(after), settings=SETTINGS)
    return passed.to_wire() if passed else None


def pending(index: int = 0, **fields: Any) -> Any:
    return pod_of(GANG, index, phase="Pending", node="node-7", **fields)


@pytest.mark.parametrize(
    ("pods", "refusal", "message", "pod"),
    [
        ((), None, "0 of 2 pods were created for Job r-a1", False),
        ((pending(),), None, "1 of 2 pods were created for Job r-a1", False),
        ((), "exceeded quota", "the API server refused the pods of Job r-a1: exceeded quota", False),
        ((pending(unschedulable="0/3 nodes"),), None, "pod r-a1-0 found no node: 0/3 nodes", True),
        ((pending(waiting="ContainerCreating"),), None, "pod r-a1-0: ContainerCreating", True),
        ((pending(waiting="Slow", waiting_message="volume"),), "exceeded quota", "pod r-a1-0: Slow volume", True),
    ],
)
def test_a_gang_that_has_not_started_in_time(
    pods: tuple[Any, ...], refusal: str | None, message: str, pod: bool
) -> None:
    spec = {"failurePolicy": {"startDeadline": "5m"}}
    given: dict[str, Any] = {"jobs": (gang_job(refusal=refusal),), "pods": pods, "spec": spec}
    assert left(TRAINING, **given) == 300.0
    assert failure(TRAINING, after=299.9, **given) is None
    found = failure(TRAINING, after=300, **given)
    assert found is not None
    assert (found["class"], found["stage"], found["retryable"]) == ("StartDeadline", "train", False)
    assert found["message"] == f"not started within 5m: {message}"
    assert (found.get("pod"), found.get("node")) == (("r-a1-0", "node-7") if pod else (None, None))


def test_the_time_to_start_is_that_of_the_operator_where_the_job_has_none() -> None:
    assert SETTINGS.start_deadline_seconds == 1800
    assert left(TRAINING, jobs=(GANG,)) == left(TRAINING, jobs=(GANG,), spec={"failurePolicy": {}}) == 1800.0
    assert left(TRAINING, jobs=(GANG,), after=5000) == 0.0
    assert left(TRAINING, jobs=(gang_job(started=NOW + seconds(100)),)) == 1900.0
    assert left(TRAINING, jobs=(gang_job(started=NOW - seconds(100)),)) == 1800.0


def test_a_stage_without_a_gang_has_one_pod() -> None:
    job = stage_job("prepare")
    found = failure(PREPARING, after=1800, jobs=(job,))
    assert found is not None
    assert found["message"] == "not started within 30m: 0 of 1 pods were created for Job r-prepare"
    assert failure(PREPARING, after=1800, jobs=(job,), pods=(pod_of(job),)) is None


@pytest.mark.parametrize("waiting", ["ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull", "CreateContainerConfigError"])  # fmt: skip
def test_a_container_that_cannot_be_made_fails_when_the_time_to_start_is_over(waiting: str) -> None:
    pods = (pending(waiting=waiting, waiting_message="no such tag"),)
    assert failure(TRAINING, after=1799, jobs=(GANG,), pods=pods) is None
    found = failure(TRAINING, after=1800, jobs=(GANG,), pods=pods)
    assert found is not None
    assert found["class"] == ("Config" if waiting == "CreateContainerConfigError" else "ImagePull")
    assert (found["message"], found["pod"]) == (f"{waiting}: no such tag", "r-a1-0")


def test_an_image_name_that_is_none_fails_at_once() -> None:
    pods = (pending(), pending(1, waiting="InvalidImageName", created=NOW + seconds(5)))
    assert left(TRAINING, jobs=(GANG,), pods=pods) == 5.0
    found = failure(TRAINING, after=5, jobs=(GANG,), pods=pods)
    assert found is not None
    assert (found["class"], found["message"], found["pod"]) == ("ImagePull", "InvalidImageName", "r-a1-1")
    for over in ("Failed", "Succeeded"):
        assert left(TRAINING, jobs=(gang_job(outcome=over),), pods=pods) is None


USED = {"usage": {"gpuSeconds": 1600.0, "activeSeconds": 40.0}}


@pytest.mark.parametrize(
    ("spec", "status", "after", "kind", "message"),
    [
        ({"activeDeadlineSeconds": 100}, RUNS, 100.0, "DeadlineExceeded", "training has run for 100 s in all (activeDeadlineSeconds)"),
        ({"activeDeadlineSeconds": 100}, RUNS | USED, 60.0, "DeadlineExceeded", "training has run for 100 s in all (activeDeadlineSeconds)"),
        ({"budget": {"maxGpuHours": 1}}, RUNS, 450.0, "BudgetExceeded", "training has used 1 GPU hours in all (budget.maxGpuHours)"),
        ({"budget": {"maxGpuHours": 1}}, RUNS | USED, 250.0, "BudgetExceeded", "training has used 1 GPU hours in all (budget.maxGpuHours)"),
        ({"budget": {"maxGpuHours": 1.5}}, RUNS | {"nodes": 1}, 1350.0, "BudgetExceeded", "training has used 1.5 GPU hours in all (budget.maxGpuHours)"),
        ({"budget": {"maxGpuHours": 1}, "activeDeadlineSeconds": 449}, RUNS, 449.0, "DeadlineExceeded", "training has run for 449 s in all (activeDeadlineSeconds)"),
    ],
)  # fmt: skip
def test_a_gang_that_has_used_too_much(
    spec: dict[str, Any], status: dict[str, Any], after: float, kind: str, message: str
) -> None:
    given: dict[str, Any] = {"jobs": (GANG,), "spec": {"resources": {"nodes": 2, "gpusPerNode": 4}} | spec}
    assert left(status, **given) == after
    assert failure(status, after=after - 0.1, **given) is None
    found = failure(status, after=after, **given)
    assert found is not None
    assert (found["class"], found["stage"], found["message"], found["retryable"]) == (kind, "train", message, False)
    assert found["hint"].startswith("Create the job again with a larger ")


def test_a_gang_without_limits_or_gpus_has_no_deadline() -> None:
    assert left(RUNS, jobs=(GANG,)) is None
    assert left(RUNS, jobs=(GANG,), spec={"budget": {"maxGpuHours": 1}}) is None
    assert left(RUNS, jobs=(GANG,), spec={"budget": {}, "resources": {"nodes": 1, "gpusPerNode": 1}}) is None
    assert left(RUNS, spec={"activeDeadlineSeconds": 100}) is None
    forever = {"budget": {"maxGpuHours": 1e300}, "resources": {"nodes": 1, "gpusPerNode": 1}}
    assert left(RUNS, jobs=(GANG,), spec=forever) == 1e9


@pytest.mark.parametrize(
    ("status", "job", "pods", "waits"),
    [
        (TRAINING, GANG, (), True),
        (RUNS, GANG, (), False),
        (TRAINING, gang_job(suspended=True), (), False),
        (TRAINING, gang_job(deleting=True), (), False),
        (TRAINING, gang_job(outcome="Failed"), (), False),
        (PREPARING, stage_job("prepare"), (), True),
        (PREPARING, stage_job("prepare"), (pod_of(stage_job("prepare"), phase="Pending"),), True),
        (PREPARING, stage_job("prepare"), (pod_of(stage_job("prepare")),), False),
    ],
)
def test_who_waits_for_a_start(status: dict[str, Any], job: Any, pods: tuple[Any, ...], waits: bool) -> None:
    found = observed(a_job(), jobs=(job,), pods=pods)
    assert waits_for_start(found, FineTuneJobStatus.from_wire(status), job) is waits


REFUSED = {"conditions": [{"type": "PodsReady", "status": "False", "reason": "PodsRefused", "message": "m", "lastTransitionTime": STAMP}]}  # fmt: skip


@pytest.mark.parametrize(
    ("status", "job", "pods", "live", "wait"),
    [
        (TRAINING, GANG, (), False, 8.0),
        (TRAINING, GANG, (), True, 10.0),
        (TRAINING, gang_job(created=NOW - seconds(60)), (), False, 0.0),
        (TRAINING, gang_job(created=NOW - seconds(60)), (), True, 10.0),
        (TRAINING, gang_job(created=NOW - seconds(60)), (pending(created=NOW - seconds(1)),), False, 7.0),
        (TRAINING, GANG, (pending(), pending(1)), False, None),
        (TRAINING | REFUSED, GANG, (), False, None),
        (TRAINING | {"conditions": [REFUSED["conditions"][0] | {"reason": "Starting"}]}, GANG, (), False, 8.0),
        (TRAINING | {"nodes": 1}, GANG, (pending(),), False, None),
        (RUNS, GANG, (), False, None),
        (TRAINING, gang_job(2), (), False, None),
    ],
)
def test_when_refusals_of_missing_pods_are_read(
    status: dict[str, Any], job: Any, pods: tuple[Any, ...], live: bool, wait: float | None
) -> None:
    found = observed(a_job(), jobs=(job,), pods=pods, live=live)
    assert refusals_in(found, FineTuneJobStatus.from_wire(status), now=NOW + seconds(2)) == wait
