"""What the status keeps of an attempt that is over."""

from __future__ import annotations

from typing import Any

import pytest
from observed_jobs import NOW, TRAINING, a_job, ended, gang_job, observed, pod_of, stage_job, succeeded_pod, writes
from stage_messages import success

from tuneloop_api.v1alpha1.fine_tune_job.status import Failure, FineTuneJobStatus
from tuneloop_operator.decide.fine_tune_job.failure import failed

FAILED_GANG = gang_job(outcome="Failed", outcome_since=NOW)
PAST = [{"attempt": number, "reason": "Failed", "class": "Hang"} for number in range(1, 11)]


def failed_pods(code: int = 77) -> tuple[Any, ...]:
    return tuple(pod_of(FAILED_GANG, index, phase="Failed", ended=ended(code)) for index in (0, 1))


def after_failure(status: dict[str, Any], *, one_machine: bool, **failure: Any) -> FineTuneJobStatus:
    """Return the status after the first gang failed in this way."""
    observed_job = observed(a_job(status), jobs=(FAILED_GANG,), pods=failed_pods())
    given = Failure.from_wire({"class": "NodeLost", "stage": "train", "message": "gone"} | failure)
    before = FineTuneJobStatus.from_wire(status)
    return failed(observed_job, before, given, now=NOW, one_machine=one_machine)[0]


def test_the_history_keeps_the_newest_ten_attempts() -> None:
    status = TRAINING | {"attempt": 11, "history": PAST}
    status["children"] = status["children"] | {"train": {"name": "r-a11", "uid": "u-a11"}}
    job = gang_job(11, outcome="Failed", outcome_since=NOW)
    pods = tuple(pod_of(job, index, phase="Failed", ended=ended(77)) for index in (0, 1))
    _, new = writes(observed(a_job(status), jobs=(job,), pods=pods, live=True))
    assert new is not None
    assert [record["attempt"] for record in new["history"]] == list(range(2, 12))


@pytest.mark.parametrize(("one_machine", "avoided"), [(False, ["node-1"]), (True, None)])
def test_a_bad_node_is_avoided_where_there_are_others(one_machine: bool, avoided: list[str] | None) -> None:
    status = after_failure(TRAINING, one_machine=one_machine, node="node-1")
    assert (status.avoided_nodes and [node.name for node in status.avoided_nodes]) == avoided


def test_the_first_rank_reports_what_the_gang_made() -> None:
    job = gang_job(outcome="Succeeded", outcome_since=NOW)
    another = success("train").replace('"steps":100', '"steps":7')
    assert another != success("train")
    pods = (
        pod_of(job, 1, phase="Succeeded", ended=ended(text=another)),
        pod_of(job, 0, phase="Succeeded", ended=ended(text=success("train"))),
    )
    _, new = writes(observed(a_job(TRAINING), jobs=(job,), pods=pods, live=True))
    assert new is not None
    assert new["progress"]["step"] == 100


def test_a_result_of_a_pod_that_did_not_succeed_is_none() -> None:
    job = stage_job("prepare", outcome="Succeeded", outcome_since=NOW)
    status = {"startTime": "2026-01-01T12:00:00Z", "resolved": {"storageClaim": "models"}}
    status |= {"children": {"prepare": {"name": "r-prepare", "uid": "u-prepare"}}}
    for outcome, has_result in (("Succeeded", True), ("Preempted", False)):
        text = success("prepare").replace('"outcome":"Succeeded"', f'"outcome":"{outcome}"')
        pods = (pod_of(job, phase="Succeeded", ended=ended(text=text)),)
        _, new = writes(observed(a_job(status), jobs=(job,), pods=pods, live=True))
        assert new is not None
        assert ("result" in new["children"]["prepare"]) is has_result


def test_usage_is_counted_once_however_often_it_is_decided() -> None:
    status: dict[str, Any] = TRAINING | {"runningSince": "2026-01-01T12:00:00Z"}
    job = gang_job(outcome="Succeeded", outcome_since=NOW)
    pods = tuple(succeeded_pod(job, index) for index in (0, 1))
    _, new = writes(observed(a_job(status), jobs=(job,), pods=pods, live=True), after=50)
    assert new is not None
    used = new["usage"]
    _, again = writes(observed(a_job(new), jobs=(job,), pods=pods, live=True), after=500)
    assert (again or new)["usage"] == used
