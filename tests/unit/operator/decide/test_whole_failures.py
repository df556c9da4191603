"""The class of each end of a pod, and the whole failure that people read."""

from __future__ import annotations

from typing import Any

import pytest
from observed_jobs import NOW, SETTINGS, TRAINING, a_job, ended, gang_job, observed, pod_of, seconds

from tuneloop_api.v1alpha1.fine_tune_job.status import FineTuneJobStatus
from tuneloop_api.wire.failure_class import FailureClass
from tuneloop_operator.decide.fine_tune_job.classify import blame, job_deleted, no_result, pods_gone
from tuneloop_operator.decide.fine_tune_job.failure import failure_of
from tuneloop_operator.decide.fine_tune_job.hints import HINTS
from tuneloop_operator.state.observed import JobView

JOB = gang_job()


def failure(*, index: int = 0, code: int | None = 1, text: str = "", end: str = "", **fields: Any) -> dict[str, Any]:
    """Return the failure of a single pod that ended in this way; code: None if no end is known."""
    known = None if code is None else ended(code, text=text, reason=end)
    found = blame([pod_of(JOB, index, phase="Failed", ended=known, **fields)])
    assert found is not None
    return found.failure.to_wire()


@pytest.mark.parametrize(
    ("disruption", "reason", "kind"),
    [
        ("PreemptionByScheduler", "Evicted", "Preempted"),
        ("DeletionByTaintManager", "Evicted", "NodeLost"),
        ("DeletionByPodGC", "Evicted", "NodeLost"),
        ("EvictionByEvictionAPI", "NodeShutdown", "Evicted"),
        ("TerminationByKubelet", "NodeShutdown", "Evicted"),
        ("Unheard", "NodeShutdown", "NodeLost"),
        ("Unheard", "", "Evicted"),
        ("", "Unheard", "Evicted"),
        ("", "Evicted", "Evicted"),
        ("", "Preempting", "Preempted"),
        *(("", reason, "NodeLost") for reason in ("NodeLost", "NodeShutdown", "Terminated", "NodeAffinity", "UnexpectedAdmissionError")),
    ],
)  # fmt: skip
def test_the_class_of_a_pod_that_was_taken_away(disruption: str, reason: str, kind: str) -> None:
    found = failure(disruption=disruption, reason=reason, message="words")
    assert (found["class"], found["message"]) == (kind, "pod r-a1-0: words")
    assert failure(disruption=disruption, reason=reason)["message"] == f"pod r-a1-0: {disruption or reason}"


@pytest.mark.parametrize(
    ("end", "kind"),
    [
        ("OOMKilled", "OutOfMemoryHost"),
        *((end, "Config") for end in ("StartError", "ContainerCannotRun", "CreateContainerConfigError", "InvalidImageName")),
        ("Error", "Unknown"),
    ],
)  # fmt: skip
def test_the_class_of_an_end_that_the_runtime_names(end: str, kind: str) -> None:
    assert failure(end=end)["class"] == kind


def test_a_failure_is_written_whole() -> None:
    log = "\n".join(f"line {number}" for number in range(25)) + "\n\n"
    assert failure(index=1, code=139, text=log, node="node-5") == {
        "class": "Unknown",
        "stage": "train",
        "exitCode": 139,
        "pod": "r-a1-1",
        "node": "node-5",
        "message": "pod r-a1-1 ended with exit code 139: line 24",
        "hint": HINTS[FailureClass.UNKNOWN],
        "lastLines": [*(f"line {number}" for number in range(6, 25)), ""],
        "retryable": True,
    }


def test_the_words_of_ends_without_a_message() -> None:
    assert failure(end="OOMKilled")["message"] == "pod r-a1-0 used more memory than its limit"
    assert failure(code=None, deletion_asked=NOW)["message"] == "pod r-a1-0: deleted"
    assert failure(text='{"stage": 7')["message"] == 'pod r-a1-0 ended with exit code 1: {"stage": 7'


@pytest.mark.parametrize(
    ("written", "kind", "message"),
    [
        (job_deleted(name="r-a1", stage="train"), "Evicted", "Job r-a1 was deleted while it ran"),
        (pods_gone(name="r-a1", stage="train", message=""), "Evicted", "the pods of Job r-a1 are gone"),
        (pods_gone(name="r-a1", stage="train", message="late"), "Evicted", "the pods of Job r-a1 are gone: late"),
        (no_result(name="r-a1", stage="train"), "Unknown", "Job r-a1 succeeded, but wrote no result that can be read"),
    ],
)  # fmt: skip
def test_failures_without_a_pod(written: Any, kind: str, message: str) -> None:
    expected = {"class": kind, "stage": "train", "message": message, "retryable": True}
    assert written.to_wire() == expected | {"hint": HINTS[FailureClass(kind)]}


@pytest.mark.parametrize(
    ("jobs", "pods", "message"),
    [
        ((), (), "Job r-a1 was deleted while it ran"),
        ((gang_job(outcome="Succeeded"),), (), "Job r-a1 succeeded, but wrote no result that can be read"),
        ((gang_job(outcome="Failed", outcome_message="late"),), (), "the pods of Job r-a1 are gone: late"),
        ((JOB,), (), "not started within 30m: 0 of 2 pods were created for Job r-a1"),
        ((gang_job(outcome="Failed"),), (pod_of(JOB, phase="Failed", ended=ended(139)),), "pod r-a1-0 ended with exit code 139"),
    ],
)  # fmt: skip
def test_why_a_run_failed(jobs: tuple[JobView, ...], pods: tuple[Any, ...], message: str) -> None:
    found = observed(a_job(), jobs=jobs, pods=pods)
    status, now = FineTuneJobStatus.from_wire(TRAINING), NOW + seconds(1800)
    assert failure_of(found, status, now=now, settings=SETTINGS).message == message
    unnamed = FineTuneJobStatus.from_wire({"children": {"prepare": TRAINING["children"]["prepare"]}})
    gone = failure_of(observed(a_job()), unnamed, now=now, settings=SETTINGS)
    assert gone.message == "Job train was deleted while it ran"
