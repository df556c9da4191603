"""The clocks that end a run: when each strikes, and which one is named where several have."""

from __future__ import annotations

from typing import Any

import pytest
from observed_jobs import NOW, SETTINGS, TRAINING, a_job, gang_job, observed, pod_of, seconds

from tuneloop_api.v1alpha1.fine_tune_job.status import Failure, FineTuneJobStatus
from tuneloop_operator.decide.fine_tune_job.deadlines import overdue, requeue_after

RUNNING = TRAINING | {"runningSince": "2026-01-01T12:00:00Z"}
GPUS = {"resources": {"nodes": 2, "gpusPerNode": 1}}


def struck(status: dict[str, Any], *, after: float, pods: tuple[Any, ...] = (), **spec: Any) -> Failure | None:
    """Return what has ended the first gang this many seconds after NOW."""
    job = a_job(status, **spec)
    observed_job = observed(job, jobs=(gang_job(),), pods=pods)
    return overdue(observed_job, FineTuneJobStatus.from_wire(status), now=NOW + seconds(after), settings=SETTINGS)


@pytest.mark.parametrize(("after", "strikes"), [(99.0, False), (100.0, True), (101.0, True)])
def test_a_clock_strikes_at_its_second(after: float, strikes: bool) -> None:
    assert (struck(RUNNING, after=after, activeDeadlineSeconds=100) is not None) is strikes


def test_of_two_clocks_that_have_struck_the_first_one_is_named() -> None:
    limits: dict[str, Any] = {"activeDeadlineSeconds": 100, "budget": {"maxGpuHours": 1}} | GPUS
    failure = struck(RUNNING, after=4000, **limits)
    assert failure is not None
    assert failure.failure_class == "DeadlineExceeded"
    failure = struck(RUNNING, after=4000, **limits | {"activeDeadlineSeconds": 3000})
    assert failure is not None
    assert failure.failure_class == "BudgetExceeded"


@pytest.mark.parametrize(("used", "strikes_after"), [(0.0, 1800), (3000.0, 300)])
def test_gpu_hours_of_earlier_attempts_count(used: float, strikes_after: int) -> None:
    status = RUNNING | {"usage": {"gpuSeconds": used, "activeSeconds": 0.0, "usefulSeconds": 0.0, "lostSteps": 0}}
    limits: dict[str, Any] = {"budget": {"maxGpuHours": 1}} | GPUS
    assert struck(status, after=strikes_after - 1, **limits) is None
    failure = struck(status, after=strikes_after, **limits)
    assert failure is not None
    assert failure.message == "training has used 1 GPU hours in all (budget.maxGpuHours)"


def test_time_of_earlier_attempts_counts() -> None:
    status = RUNNING | {"usage": {"gpuSeconds": 0.0, "activeSeconds": 40.0, "usefulSeconds": 0.0, "lostSteps": 0}}
    assert struck(status, after=59, activeDeadlineSeconds=100) is None
    assert struck(status, after=60, activeDeadlineSeconds=100) is not None


def test_a_budget_that_nobody_lives_to_see_the_end_of_ends_nothing() -> None:
    assert struck(RUNNING, after=1, budget={"maxGpuHours": 1e15}, **GPUS) is None


def test_an_image_that_can_never_be_pulled_ends_a_run_but_not_one_that_has_failed_already() -> None:
    status = FineTuneJobStatus.from_wire(TRAINING)
    for outcome, expected in ((None, "ImagePull"), ("Failed", None)):
        job = gang_job(outcome=outcome)
        pods = (pod_of(job, phase="Pending", waiting="InvalidImageName"),)
        observed_job = observed(a_job(TRAINING), jobs=(job,), pods=pods)
        failure = overdue(observed_job, status, now=NOW, settings=SETTINGS)
        assert (failure and failure.failure_class) == expected


def test_the_operator_wakes_for_the_clock_that_strikes_first() -> None:
    job = a_job(RUNNING, activeDeadlineSeconds=100, budget={"maxGpuHours": 1}, **GPUS)
    status = FineTuneJobStatus.from_wire(RUNNING)
    observed_job = observed(job, jobs=(gang_job(),))
    assert requeue_after(observed_job, status, now=NOW + seconds(40), settings=SETTINGS) == 60
    assert requeue_after(observed_job, status, now=NOW + seconds(140), settings=SETTINGS) == 0
