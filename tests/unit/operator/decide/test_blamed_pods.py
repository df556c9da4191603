"""Which pod of a failed gang is blamed where several ended, and what a person reads of it."""

from __future__ import annotations

from observed_jobs import NOW, ended, gang_job, pod_of, seconds
from stage_messages import success

from tuneloop_api.contract.results import TerminationMessage
from tuneloop_api.wire.failure_class import FailureClass
from tuneloop_operator.decide.fine_tune_job.classify import blame

JOB = gang_job()


def test_a_pod_that_failed_by_itself_is_blamed_before_one_that_was_deleted_first() -> None:
    deleted = pod_of(JOB, 0, phase="Failed", ended=ended(137, at=2), deletion_asked=NOW)
    echo = pod_of(JOB, 1, phase="Failed", ended=ended(77, at=1))
    found = blame([deleted, echo])
    assert found is not None
    assert found.failure.failure_class == FailureClass.COLLECTIVE


def test_a_disruption_counts_before_the_reason_that_the_kubelet_gives() -> None:
    found = blame([pod_of(JOB, phase="Failed", disruption="PreemptionByScheduler", reason="Evicted")])
    assert found is not None
    assert found.failure.failure_class == FailureClass.PREEMPTED


def test_a_hint_of_any_length_fits_into_the_status() -> None:
    message = TerminationMessage(
        stage="train", outcome="Failed", failure_class=FailureClass.DATA, hint="h" * 5000, message="m" * 5000
    )
    found = blame([pod_of(JOB, phase="Failed", ended=ended(1, text=message.model_dump_json(by_alias=True)))])
    assert found is not None
    assert (found.failure.hint, found.failure.message) == ("h" * 4096, "m" * 4096)


def test_of_pods_that_failed_alike_the_first_to_end_is_blamed_then_the_lowest_rank() -> None:
    pods = [pod_of(JOB, index, phase="Failed", ended=ended(81, at=at)) for index, at in ((2, 1), (1, 1), (0, 2))]
    found = blame(pods)
    assert found is not None
    assert found.index == 1


def test_nobody_is_blamed_where_all_ended_well() -> None:
    pod = pod_of(JOB, phase="Succeeded", ended=ended(text=success("train")))
    assert blame([pod]) is None


def test_a_pod_that_only_runs_is_not_blamed() -> None:
    assert blame([pod_of(JOB, created=NOW - seconds(9))]) is None
