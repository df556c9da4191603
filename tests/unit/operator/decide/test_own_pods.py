"""Which pods still count, and for how long."""

from __future__ import annotations

from typing import Any

import pytest
from observed_jobs import NOW, TRAINING, a_job, gang_job, observed, pod_of, seconds

from tuneloop_api.v1alpha1.fine_tune_job.status import FineTuneJobStatus
from tuneloop_operator.state.runs import pods_since_start, running_since, seconds_until_stopped

JOB = gang_job()
FOREVER = float("inf")


@pytest.mark.parametrize(
    ("pod", "left"),
    [
        pytest.param(pod_of(JOB), FOREVER, id="it runs"),
        pytest.param(pod_of(JOB, phase="Pending"), FOREVER, id="it may still start"),
        pytest.param(pod_of(JOB, phase="Unknown"), FOREVER, id="its node does not answer"),
        pytest.param(pod_of(JOB, gone_by=NOW + seconds(30)), 40.0, id="its grace period, and what clocks differ by"),
        pytest.param(pod_of(JOB, gone_by=NOW - seconds(4)), 6.0, id="only what clocks differ by is left"),
        pytest.param(pod_of(JOB, gone_by=NOW - seconds(10)), 0.0, id="it is gone"),
        pytest.param(pod_of(JOB, phase="Failed"), 0.0, id="it has failed"),
        pytest.param(pod_of(JOB, phase="Succeeded"), 0.0, id="it has succeeded"),
    ],
)
def test_the_next_gang_waits_until_no_pod_of_the_last_one_can_run(pod: Any, left: float) -> None:
    assert seconds_until_stopped(observed(a_job(TRAINING), jobs=(JOB,), pods=(pod,)), "train", now=NOW) == left


def test_pods_of_another_stage_hold_nothing_up() -> None:
    assert seconds_until_stopped(observed(a_job(TRAINING), pods=(pod_of(JOB),)), "export", now=NOW) == 0.0


@pytest.mark.parametrize(("before", "counts"), [(0, True), (10, True), (11, False)])
def test_a_pod_may_be_older_than_its_gangs_start_by_what_clocks_differ(before: int, counts: bool) -> None:
    job = gang_job(started=NOW)
    pod = pod_of(job, created=NOW - seconds(before))
    assert (pods_since_start(observed(a_job(TRAINING), jobs=(job,), pods=(pod,)), job) == (pod,)) is counts


def test_a_gang_runs_since_its_last_pod_does_and_not_before_all_do() -> None:
    status = FineTuneJobStatus.from_wire(TRAINING)
    pods = [pod_of(JOB, index, started=NOW + seconds(5 * index)) for index in (0, 1)]
    assert running_since(observed(a_job(TRAINING), jobs=(JOB,), pods=tuple(pods)), status) == NOW + seconds(5)
    assert running_since(observed(a_job(TRAINING), jobs=(JOB,), pods=tuple(pods[:1])), status) is None
