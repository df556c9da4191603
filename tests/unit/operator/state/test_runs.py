"""The current stage, its run, its Job and its pods, read from a status and from what was observed."""

from __future__ import annotations

from typing import Any

import pytest
from observed_jobs import (
    NOW,
    PREPARED,
    RESULT,
    STAMP,
    TRAINING,
    a_job,
    ended,
    gang_job,
    observed,
    pod_of,
    seconds,
    stage_job,
)

from tuneloop_api.v1alpha1.fine_tune_job.status import FineTuneJobStatus
from tuneloop_operator.state.runs import (
    Run,
    child_of,
    is_finished,
    job_of_run,
    nodes_of,
    pods_of,
    pods_of_run,
    pods_since_start,
    refusal_of,
    run_of,
    running_since,
    seconds_until_stopped,
    stage_of,
)

DONE = {"ended": True, "result": RESULT}


def status(**fields: Any) -> FineTuneJobStatus:
    return FineTuneJobStatus.from_wire(fields)


def condition(type_: str, value: str = "True") -> list[dict[str, Any]]:
    return [{"type": type_, "status": value, "reason": "R", "message": "exceeded quota", "lastTransitionTime": STAMP}]


@pytest.mark.parametrize(
    ("children", "stage", "run"),
    [
        (None, "prepare", Run.PENDING),
        ({}, "prepare", Run.PENDING),
        ({"prepare": {"name": "p"}}, "prepare", Run.PENDING),
        ({"prepare": {"name": "p", "uid": "u"}}, "prepare", Run.CREATED),
        ({"prepare": {"name": "p", "uid": "u", "ended": True}}, "prepare", Run.ENDED),
        ({"prepare": {"name": "p", "ended": True}}, "prepare", Run.ENDED),
        ({"prepare": {"name": "p", "uid": "u"} | DONE}, "train", Run.PENDING),
        ({"prepare": {"name": "p"} | DONE, "train": {"name": "t", "uid": "u"}}, "train", Run.CREATED),
        ({"prepare": {"name": "p"} | DONE, "train": {"name": "t"} | DONE}, "export", Run.PENDING),
        ({"prepare": {"name": "p"} | DONE, "train": {"name": "t"} | DONE, "export": {"name": "e", "uid": "u"} | DONE}, "export", Run.ENDED),
    ],
)  # fmt: skip
def test_the_stage_and_the_state_of_its_run(children: dict[str, Any] | None, stage: str, run: Run) -> None:
    found = status() if children is None else status(children=children)
    assert (stage_of(found), run_of(found)) == (stage, run)
    child = child_of(found, stage)  # type: ignore[arg-type]
    assert (child and child.name) == ((children or {}).get(stage) or {}).get("name")


@pytest.mark.parametrize(
    ("conditions", "finished"),
    [
        (condition("Complete"), True),
        (condition("Failed"), True),
        (condition("Complete", "False"), False),
        (condition("Accepted"), False),
        ([], False),
    ],
)
def test_a_job_is_done_once_it_is_complete_or_has_failed(conditions: Any, finished: bool) -> None:
    found = FineTuneJobStatus.from_wire(TRAINING | {"conditions": conditions})
    assert is_finished(found) is finished
    assert (run_of(found) is Run.DONE) is finished


def test_the_job_of_a_run_is_found_by_its_uid_and_else_by_its_name() -> None:
    first, same_name = gang_job(), gang_job(uid="u-other")
    other = gang_job(2)
    created = FineTuneJobStatus.from_wire(TRAINING)
    assert job_of_run(observed(a_job(), jobs=(other, same_name, first)), created) is first
    assert job_of_run(observed(a_job(), jobs=(other, same_name)), created) is None
    pending = FineTuneJobStatus.from_wire(TRAINING | {"children": PREPARED})
    assert job_of_run(observed(a_job(), jobs=(other, same_name)), pending) is same_name
    assert job_of_run(observed(a_job(), jobs=(other,)), pending) is None
    prepare = stage_job("prepare")
    assert job_of_run(observed(a_job(), jobs=(first, prepare)), status()) is prepare
    unnumbered = FineTuneJobStatus.from_wire({"children": PREPARED})
    assert job_of_run(observed(a_job(), jobs=(first, gang_job(0))), unnumbered) == gang_job(0)


def test_pods_belong_to_their_job_since_its_last_start() -> None:
    job = gang_job(started=NOW + seconds(100))
    early, at_start = pod_of(job, 0, created=NOW + seconds(89.9)), pod_of(job, 1, created=NOW + seconds(90))
    foreign = pod_of(gang_job(2))
    found = observed(a_job(), jobs=(job,), pods=(early, at_start, foreign))
    assert pods_of(found, job) == (early, at_start)
    assert pods_since_start(found, job) == (at_start,)
    assert pods_since_start(found, gang_job()) == (early, at_start)


def test_pods_of_a_run_outlive_its_job_and_those_before_the_gang_are_left_out() -> None:
    job = gang_job()
    before = pod_of(job, 0, ended=ended(at=-1))
    at_start, running = pod_of(job, 1, ended=ended(at=0)), pod_of(job, 2)
    pods = (before, at_start, running, pod_of(gang_job(2)))
    created = FineTuneJobStatus.from_wire(TRAINING)
    since = FineTuneJobStatus.from_wire(TRAINING | {"runningSince": STAMP})
    for jobs in ((job,), ()):
        assert pods_of_run(observed(a_job(), jobs=jobs, pods=pods), created) == (before, at_start, running)
        assert pods_of_run(observed(a_job(), jobs=jobs, pods=pods), since) == (at_start, running)
    assert pods_of_run(observed(a_job(), pods=pods), status()) == ()


def started(*moments: float | None) -> tuple[Any, ...]:
    return tuple(
        pod_of(gang_job(), index, started=None if moment is None else NOW + seconds(moment))
        for index, moment in enumerate(moments)
    )


@pytest.mark.parametrize(
    ("job", "pods", "since"),
    [
        (gang_job(), started(1, 3), 3),
        (gang_job(), started(3, 1), 3),
        (gang_job(), started(1), None),
        (gang_job(), started(1, None), None),
        (gang_job(), started(1, 2, 4), 4),
        (gang_job(suspended=True), started(1, 3), None),
        (gang_job(2), started(1, 3), None),
    ],
)
def test_a_gang_runs_since_its_last_pod_began(job: Any, pods: tuple[Any, ...], since: float | None) -> None:
    found = running_since(observed(a_job(), jobs=(job,), pods=pods), FineTuneJobStatus.from_wire(TRAINING))
    assert found == (None if since is None else NOW + seconds(since))


def test_an_attempt_has_its_own_number_of_nodes_or_that_of_the_spec() -> None:
    assert nodes_of(observed(a_job()), status()) == 2
    assert nodes_of(observed(a_job()), status(nodes=1)) == 1


@pytest.mark.parametrize(
    ("pods", "left"),
    [
        ((), 0.0),
        ((pod_of(gang_job(), phase="Succeeded"), pod_of(gang_job(), phase="Failed")), 0.0),
        ((pod_of(stage_job("prepare")),), 0.0),
        ((pod_of(gang_job()),), float("inf")),
        ((pod_of(gang_job(), phase="Pending"),), float("inf")),
        ((pod_of(gang_job(), gone_by=NOW + seconds(30)),), 40.0),
        ((pod_of(gang_job(), gone_by=NOW + seconds(30)), pod_of(gang_job(), gone_by=NOW + seconds(20))), 40.0),
        ((pod_of(gang_job(), gone_by=NOW - seconds(9)),), 1.0),
        ((pod_of(gang_job(), gone_by=NOW - seconds(11)),), 0.0),
    ],
)
def test_a_stage_has_stopped_when_no_pod_of_it_can_run(pods: tuple[Any, ...], left: float) -> None:
    assert seconds_until_stopped(observed(a_job(), pods=pods), "train", now=NOW) == left


REFUSED = {"conditions": condition("PodsReady", "False")}
REFUSED["conditions"][0]["reason"] = "PodsRefused"


@pytest.mark.parametrize(
    ("refusal", "live", "before", "missing", "found"),
    [
        ("forbidden", False, None, True, "forbidden"),
        ("forbidden", True, REFUSED, True, "forbidden"),
        ("forbidden", True, REFUSED, False, ""),
        ("", False, REFUSED, True, ""),
        (None, True, REFUSED, True, ""),
        (None, False, REFUSED, True, "exceeded quota"),
        (None, False, {"conditions": condition("PodsReady", "False")}, True, ""),
        (None, False, {"phase": "Running"}, True, ""),
        (None, False, None, True, ""),
    ],
)
def test_a_refusal_holds_until_refusals_are_read_again(
    refusal: str | None, live: bool, before: dict[str, Any] | None, missing: bool, found: str
) -> None:
    job = gang_job(refusal=refusal)
    observed_job = observed(a_job(before), jobs=(job,), live=live)
    assert refusal_of(observed_job, job, is_missing_pods=missing) == found
