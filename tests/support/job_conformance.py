"""Conformance of Job controllers: one table of cases that Kubernetes' own controller passes, and that of local mode.

A case drives a `JobUnderTest`: it requests changes, and acts as the kubelet.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from job_under_test import (
    INDEX,
    NAME,
    JobUnderTest,
    all_deleted,
    condition,
    conditions,
    count,
    indexed,
    is_none,
    phase,
    shows,
    until,
    variable,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    Object = dict[str, Any]
    Case = Callable[["JobUnderTest"], Awaitable[None]]


async def an_indexed_job_has_one_pod_for_each_index(gang: JobUnderTest) -> None:
    await gang.create(indexed(3))
    pods = await count(gang, 3)
    job = await gang.job()
    for index, pod in enumerate(pods):
        metadata, uid = pod["metadata"], job["metadata"]["uid"]
        assert re.fullmatch(rf"gang-{index}-[a-z0-9]{{5}}", metadata["name"])
        assert metadata["generateName"] == f"gang-{index}-"
        assert metadata["annotations"][INDEX] == str(index)
        assert (
            metadata["labels"].items()
            >= {
                INDEX: str(index),
                "batch.kubernetes.io/job-name": NAME,
                "job-name": NAME,
                "batch.kubernetes.io/controller-uid": uid,
                "controller-uid": uid,
                "of": "the-template",
            }.items()
        )
        (owner,) = metadata["ownerReferences"]
        assert owner == {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "name": NAME,
            "uid": uid,
            "controller": True,
            "blockOwnerDeletion": True,
        }
        assert metadata["finalizers"] == ["batch.kubernetes.io/job-tracking"]
        assert pod["spec"]["hostname"] == f"gang-{index}"
        assert variable(pod, "JOB_COMPLETION_INDEX") == {"fieldPath": f"metadata.labels['{INDEX}']"}


async def counters_follow_the_pods(gang: JobUnderTest) -> None:
    await gang.create(indexed(2))
    first, second = await count(gang, 2)
    job = await shows(gang, active=2, terminating=0)
    assert job["status"]["startTime"]
    assert conditions(job) == {}
    for pod in (first, second):
        await gang.run(pod)
    await shows(gang, active=2, ready=2, terminating=0)
    await gang.end(first, 0)
    await shows(gang, active=1, ready=1, succeeded=1, terminating=0)


async def all_indexes_succeed(gang: JobUnderTest) -> None:
    await gang.create(indexed(3))
    for pod in await count(gang, 3):
        await gang.run(pod)
        await gang.end(pod, 0)
    job = await condition(gang, "Complete")
    await shows(gang, active=0, ready=0, terminating=0, succeeded=3, failed=0, completedIndexes="0-2")
    reason = ("True", "CompletionsReached")
    assert conditions(job) == {"SuccessCriteriaMet": reason, "Complete": reason}
    assert job["status"]["completionTime"]
    assert [phase(pod) for pod in await gang.pods()] == ["Succeeded"] * 3
    assert not any(pod["metadata"].get("finalizers") for pod in await gang.pods())


async def indexes_are_written_as_ranges(gang: JobUnderTest) -> None:
    await gang.create(indexed(4))
    pods = await count(gang, 4)
    for pod in (pods[0], pods[1], pods[3]):
        await gang.run(pod)
        await gang.end(pod, 0)
    await shows(gang, active=1, succeeded=3, completedIndexes="0,1,3")


async def one_failed_index_ends_the_gang(gang: JobUnderTest) -> None:
    await gang.create(indexed(3))
    pods = await count(gang, 3)
    for pod in pods:
        await gang.run(pod)
    await gang.end(pods[1], 7)
    job = await condition(gang, "FailureTarget")
    reason = ("True", "BackoffLimitExceeded")
    assert conditions(job) == {"FailureTarget": reason}, "the others still run, so that the Job has not failed yet"
    await shows(gang, active=0, ready=0, terminating=2, failed=3)
    for pod in (pods[0], pods[2]):
        await gang.let_go(pod)
    job = await condition(gang, "Failed")
    assert conditions(job) == {"FailureTarget": reason, "Failed": reason}
    await shows(gang, active=0, terminating=0, failed=3, succeeded=0)
    assert "completionTime" not in job["status"]
    (left,) = await gang.pods()
    assert (left["metadata"]["uid"], phase(left)) == (pods[1]["metadata"]["uid"], "Failed")


async def a_failure_after_a_success_keeps_the_success(gang: JobUnderTest) -> None:
    await gang.create(indexed(2))
    first, second = await count(gang, 2)
    for pod, code in ((first, 0), (second, 1)):
        await gang.run(pod)
        await gang.end(pod, code)
        await shows(gang, succeeded=1, completedIndexes="0")
    await condition(gang, "Failed")
    await shows(gang, active=0, succeeded=1, failed=1, completedIndexes="0")


async def a_failed_pod_is_not_replaced(gang: JobUnderTest) -> None:
    await gang.create(indexed(1))
    (pod,) = await count(gang, 1)
    await gang.run(pod)
    await gang.end(pod, 137)
    await condition(gang, "Failed")
    assert [left["metadata"]["uid"] for left in await gang.pods()] == [pod["metadata"]["uid"]]


async def a_deleted_pod_has_failed_at_once(gang: JobUnderTest) -> None:
    await gang.create(indexed(2))
    first, second = await count(gang, 2)
    for pod in (first, second):
        await gang.run(pod)
    await gang.delete_pod(first)
    job = await condition(gang, "FailureTarget")
    assert "Failed" not in conditions(job)
    await shows(gang, active=0, terminating=2)
    for pod in (first, second):
        await gang.let_go(pod)
    await condition(gang, "Failed")
    await count(gang, 0)


async def suspending_deletes_the_pods_and_is_no_failure(gang: JobUnderTest) -> None:
    await gang.create(indexed(2))
    before = await count(gang, 2)
    for pod in before:
        await gang.run(pod)
    await gang.suspend(suspend=True)
    job = await condition(gang, "Suspended")
    assert conditions(job) == {"Suspended": ("True", "JobSuspended")}
    await shows(gang, active=0, ready=0, terminating=2, failed=0)
    for pod in before:
        await gang.let_go(pod)
    await count(gang, 0)
    await shows(gang, active=0, terminating=0, failed=0)
    await gang.suspend(suspend=False)
    after = await count(gang, 2)
    assert {pod["metadata"]["uid"] for pod in before}.isdisjoint(pod["metadata"]["uid"] for pod in after)
    for pod in after:
        await gang.run(pod)
        await gang.end(pod, 0)
    job = await condition(gang, "Complete")
    assert conditions(job)["Suspended"] == ("False", "JobResumed")
    await shows(gang, succeeded=2, failed=0)


async def a_job_that_is_created_suspended_waits(gang: JobUnderTest) -> None:
    await gang.create(indexed(2) | {"suspend": True})
    job = await condition(gang, "Suspended")
    assert await gang.pods() == []
    assert "startTime" not in job["status"]
    await gang.suspend(suspend=False)
    await count(gang, 2)
    job = await shows(gang, active=2)
    assert job["status"]["startTime"]
    assert conditions(job) == {"Suspended": ("False", "JobResumed")}


async def deleting_the_job_deletes_its_pods(gang: JobUnderTest) -> None:
    await gang.create(indexed(2))
    pods = await count(gang, 2)
    for pod in pods:
        await gang.run(pod)
    await gang.end(pods[1], 0)
    await shows(gang, succeeded=1)
    await gang.delete_job()
    await until(lambda: is_none(gang.job()), "the Job's end")
    await until(lambda: all_deleted(gang), "the deletion of the pod that still runs")
    await gang.let_go(pods[0])
    await count(gang, 0)


async def deleting_a_finished_job_deletes_its_pods(gang: JobUnderTest) -> None:
    await gang.create(indexed(1))
    (pod,) = await count(gang, 1)
    await gang.run(pod)
    await gang.end(pod, 0)
    await condition(gang, "Complete")
    await gang.delete_job()
    await count(gang, 0)


async def no_more_than_parallelism_run_at_once(gang: JobUnderTest) -> None:
    await gang.create(indexed(3) | {"parallelism": 1})
    for index in range(3):
        await shows(gang, active=1, succeeded=index)
        (pod,) = [left for left in await gang.pods() if phase(left) != "Succeeded"]
        assert pod["metadata"]["annotations"][INDEX] == str(index)
        await gang.run(pod)
        await gang.end(pod, 0)
    await condition(gang, "Complete")


async def a_plain_job_runs_one_pod(gang: JobUnderTest) -> None:
    await gang.create({"backoffLimit": 0})
    (pod,) = await count(gang, 1)
    assert re.fullmatch(r"gang-[a-z0-9]{5}", pod["metadata"]["name"])
    assert INDEX not in pod["metadata"]["labels"]
    await gang.run(pod)
    await gang.end(pod, 0)
    job = await condition(gang, "Complete")
    await shows(gang, active=0, succeeded=1, failed=0)
    assert "completedIndexes" not in job["status"]


async def a_plain_job_fails_with_its_pod(gang: JobUnderTest) -> None:
    await gang.create({"backoffLimit": 0})
    (pod,) = await count(gang, 1)
    await gang.run(pod)
    await gang.end(pod, 3)
    job = await condition(gang, "Failed")
    await shows(gang, active=0, succeeded=0, failed=1)
    assert conditions(job)["Failed"] == ("True", "BackoffLimitExceeded")


CASES: list[Case] = [
    an_indexed_job_has_one_pod_for_each_index,
    counters_follow_the_pods,
    all_indexes_succeed,
    indexes_are_written_as_ranges,
    one_failed_index_ends_the_gang,
    a_failure_after_a_success_keeps_the_success,
    a_failed_pod_is_not_replaced,
    a_deleted_pod_has_failed_at_once,
    suspending_deletes_the_pods_and_is_no_failure,
    a_job_that_is_created_suspended_waits,
    deleting_the_job_deletes_its_pods,
    deleting_a_finished_job_deletes_its_pods,
    no_more_than_parallelism_run_at_once,
    a_plain_job_runs_one_pod,
    a_plain_job_fails_with_its_pod,
]
