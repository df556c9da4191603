"""What a Job controller does, as one table of cases that every implementation passes: Kubernetes' own, and local mode's.

A case drives a `Bench`, which plays what is not under test: the kubelet, and who asks for changes. Pods run until `end` is called; one that
is being deleted keeps running until `let_go`.
"""

from __future__ import annotations

import asyncio
import re
import time
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    Object = dict[str, Any]
    Case = Callable[["Bench"], Awaitable[None]]

INDEX = "batch.kubernetes.io/job-completion-index"
DEADLINE_SECONDS = 30.0
NAME = "gang"
_CONTAINER_SECONDS = 60


class Bench(Protocol):
    """One namespace with one Job in it, named `gang`."""

    async def create(self, spec: Object) -> None:
        """Create the Job; its template is the bench's own."""

    async def job(self) -> Object | None:
        """Return the Job as it is."""

    async def pods(self) -> list[Object]:
        """Return the Job's pods, by index."""

    async def run(self, pod: Object) -> None:
        """Let a pod run and be ready."""

    async def end(self, pod: Object, code: int) -> None:
        """Let a running pod end with this exit code."""

    async def let_go(self, pod: Object) -> None:
        """Let a pod that is being deleted end and vanish."""

    async def suspend(self, *, suspend: bool) -> None:
        """Set `spec.suspend`."""

    async def delete_job(self) -> None:
        """Delete the Job, its pods in the background."""

    async def delete_pod(self, pod: Object) -> None:
        """Delete one pod with its grace period."""


async def an_indexed_job_has_one_pod_for_each_index(bench: Bench) -> None:
    await bench.create(indexed(3))
    pods = await count(bench, 3)
    job = await bench.job()
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


async def counters_follow_the_pods(bench: Bench) -> None:
    await bench.create(indexed(2))
    first, second = await count(bench, 2)
    job = await shows(bench, active=2, terminating=0)
    assert job["status"]["startTime"]
    assert conditions(job) == {}
    for pod in (first, second):
        await bench.run(pod)
    await shows(bench, active=2, ready=2, terminating=0)
    await bench.end(first, 0)
    await shows(bench, active=1, ready=1, succeeded=1, terminating=0)


async def all_indexes_succeed(bench: Bench) -> None:
    await bench.create(indexed(3))
    for pod in await count(bench, 3):
        await bench.run(pod)
        await bench.end(pod, 0)
    job = await condition(bench, "Complete")
    await shows(bench, active=0, ready=0, terminating=0, succeeded=3, failed=0, completedIndexes="0-2")
    reason = ("True", "CompletionsReached")
    assert conditions(job) == {"SuccessCriteriaMet": reason, "Complete": reason}
    assert job["status"]["completionTime"]
    assert [phase(pod) for pod in await bench.pods()] == ["Succeeded"] * 3
    assert not any(pod["metadata"].get("finalizers") for pod in await bench.pods())


async def indexes_are_written_as_ranges(bench: Bench) -> None:
    await bench.create(indexed(4))
    pods = await count(bench, 4)
    for pod in (pods[0], pods[1], pods[3]):
        await bench.run(pod)
        await bench.end(pod, 0)
    await shows(bench, active=1, succeeded=3, completedIndexes="0,1,3")


async def one_failed_index_ends_the_gang(bench: Bench) -> None:
    await bench.create(indexed(3))
    pods = await count(bench, 3)
    for pod in pods:
        await bench.run(pod)
    await bench.end(pods[1], 7)
    job = await condition(bench, "FailureTarget")
    reason = ("True", "BackoffLimitExceeded")
    assert conditions(job) == {"FailureTarget": reason}, "the others still run, so that the Job has not failed yet"
    await shows(bench, active=0, ready=0, terminating=2, failed=3)
    for pod in (pods[0], pods[2]):
        await bench.let_go(pod)
    job = await condition(bench, "Failed")
    assert conditions(job) == {"FailureTarget": reason, "Failed": reason}
    await shows(bench, active=0, terminating=0, failed=3, succeeded=0)
    assert "completionTime" not in job["status"]
    (left,) = await bench.pods()
    assert (left["metadata"]["uid"], phase(left)) == (pods[1]["metadata"]["uid"], "Failed")


async def a_failure_after_a_success_keeps_the_success(bench: Bench) -> None:
    await bench.create(indexed(2))
    first, second = await count(bench, 2)
    for pod, code in ((first, 0), (second, 1)):
        await bench.run(pod)
        await bench.end(pod, code)
        await shows(bench, succeeded=1, completedIndexes="0")
    await condition(bench, "Failed")
    await shows(bench, active=0, succeeded=1, failed=1, completedIndexes="0")


async def a_failed_pod_is_not_replaced(bench: Bench) -> None:
    await bench.create(indexed(1))
    (pod,) = await count(bench, 1)
    await bench.run(pod)
    await bench.end(pod, 137)
    await condition(bench, "Failed")
    assert [each["metadata"]["uid"] for each in await bench.pods()] == [pod["metadata"]["uid"]]


async def a_deleted_pod_has_failed_at_once(bench: Bench) -> None:
    await bench.create(indexed(2))
    first, second = await count(bench, 2)
    for pod in (first, second):
        await bench.run(pod)
    await bench.delete_pod(first)
    job = await condition(bench, "FailureTarget")
    assert "Failed" not in conditions(job)
    await shows(bench, active=0, terminating=2)
    for pod in (first, second):
        await bench.let_go(pod)
    await condition(bench, "Failed")
    await count(bench, 0)


async def suspending_deletes_the_pods_and_is_no_failure(bench: Bench) -> None:
    await bench.create(indexed(2))
    before = await count(bench, 2)
    for pod in before:
        await bench.run(pod)
    await bench.suspend(suspend=True)
    job = await condition(bench, "Suspended")
    assert conditions(job) == {"Suspended": ("True", "JobSuspended")}
    await shows(bench, active=0, ready=0, terminating=2, failed=0)
    for pod in before:
        await bench.let_go(pod)
    await count(bench, 0)
    await shows(bench, active=0, terminating=0, failed=0)
    await bench.suspend(suspend=False)
    after = await count(bench, 2)
    assert {pod["metadata"]["uid"] for pod in before}.isdisjoint(pod["metadata"]["uid"] for pod in after)
    for pod in after:
        await bench.run(pod)
        await bench.end(pod, 0)
    job = await condition(bench, "Complete")
    assert conditions(job)["Suspended"] == ("False", "JobResumed")
    await shows(bench, succeeded=2, failed=0)


async def a_job_that_is_created_suspended_waits(bench: Bench) -> None:
    await bench.create(indexed(2) | {"suspend": True})
    job = await condition(bench, "Suspended")
    assert await bench.pods() == []
    assert "startTime" not in job["status"]
    await bench.suspend(suspend=False)
    await count(bench, 2)
    job = await shows(bench, active=2)
    assert job["status"]["startTime"]
    assert conditions(job) == {"Suspended": ("False", "JobResumed")}


async def deleting_the_job_deletes_its_pods(bench: Bench) -> None:
    await bench.create(indexed(2))
    pods = await count(bench, 2)
    for pod in pods:
        await bench.run(pod)
    await bench.end(pods[1], 0)
    await shows(bench, succeeded=1)
    await bench.delete_job()
    await until(lambda: is_none(bench.job()), "the Job's end")
    await until(lambda: all_deleted(bench), "the deletion of the pod that still runs")
    await bench.let_go(pods[0])
    await count(bench, 0)


async def deleting_a_finished_job_deletes_its_pods(bench: Bench) -> None:
    await bench.create(indexed(1))
    (pod,) = await count(bench, 1)
    await bench.run(pod)
    await bench.end(pod, 0)
    await condition(bench, "Complete")
    await bench.delete_job()
    await count(bench, 0)


async def no_more_than_parallelism_run_at_once(bench: Bench) -> None:
    await bench.create(indexed(3) | {"parallelism": 1})
    for index in range(3):
        await shows(bench, active=1, succeeded=index)
        (pod,) = [each for each in await bench.pods() if phase(each) != "Succeeded"]
        assert pod["metadata"]["annotations"][INDEX] == str(index)
        await bench.run(pod)
        await bench.end(pod, 0)
    await condition(bench, "Complete")


async def a_plain_job_runs_one_pod(bench: Bench) -> None:
    await bench.create({"backoffLimit": 0})
    (pod,) = await count(bench, 1)
    assert re.fullmatch(r"gang-[a-z0-9]{5}", pod["metadata"]["name"])
    assert INDEX not in pod["metadata"]["labels"]
    await bench.run(pod)
    await bench.end(pod, 0)
    job = await condition(bench, "Complete")
    await shows(bench, active=0, succeeded=1, failed=0)
    assert "completedIndexes" not in job["status"]


async def a_plain_job_fails_with_its_pod(bench: Bench) -> None:
    await bench.create({"backoffLimit": 0})
    (pod,) = await count(bench, 1)
    await bench.run(pod)
    await bench.end(pod, 3)
    job = await condition(bench, "Failed")
    await shows(bench, active=0, succeeded=0, failed=1)
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


def indexed(nodes: int) -> Object:
    """Return the spec of a training gang's Job, without its template."""
    return {
        "completionMode": "Indexed",
        "completions": nodes,
        "parallelism": nodes,
        "backoffLimit": 0,
        "podReplacementPolicy": "TerminatingOrFailed",
    }


def job_manifest(spec: Object, *, namespace: str, container: Object) -> Object:
    """Return the Job of a case."""
    pod = {"restartPolicy": "Never", "terminationGracePeriodSeconds": _CONTAINER_SECONDS, "containers": [container]}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": NAME, "namespace": namespace},
        "spec": spec | {"template": {"metadata": {"labels": {"of": "the-template"}}, "spec": pod}},
    }


def conditions(job: Object) -> dict[str, tuple[str, str]]:
    """Return status and reason of each condition."""
    return {each["type"]: (each["status"], each["reason"]) for each in job["status"].get("conditions", [])}


def variable(pod: Object, name: str) -> Object:
    """Return where a variable of the pod's environment comes from."""
    (found,) = [each for each in pod["spec"]["containers"][0]["env"] if each["name"] == name]
    field: Object = found["valueFrom"]["fieldRef"]
    return {"fieldPath": field["fieldPath"]}


def phase(pod: Object) -> str:
    """Return the pod's phase."""
    return str(pod["status"].get("phase"))


async def count(bench: Bench, number: int) -> list[Object]:
    """Return the pods, once there are so many."""
    return await until(lambda: pods_if(bench, number), f"{number} pods")


async def pods_if(bench: Bench, number: int) -> tuple[bool, list[Object]]:
    pods = await bench.pods()
    return len(pods) == number, pods


async def condition(bench: Bench, kind: str) -> Object:
    """Return the Job, once it has this condition."""
    return await until(lambda: job_if(bench, lambda job: conditions(job).get(kind, ("",))[0] == "True"), kind)


async def shows(bench: Bench, **expected: Any) -> Object:
    """Return the Job, once its status shows these values; what is not there is 0 or empty."""

    def holds(job: Object) -> bool:
        found = {name: job["status"].get(name, type(value)()) for name, value in expected.items()}
        return found == expected

    return await until(lambda: job_if(bench, holds), str(expected))


async def job_if(bench: Bench, holds: Callable[[Object], bool]) -> tuple[bool, Object | None]:
    job = await bench.job()
    return job is not None and holds(job), job


async def is_none(value: Awaitable[Any]) -> tuple[bool, Any]:
    found = await value
    return found is None, found


async def all_deleted(bench: Bench) -> tuple[bool, list[Object]]:
    pods = await bench.pods()
    return all("deletionTimestamp" in pod["metadata"] for pod in pods), pods


async def until(look: Callable[[], Awaitable[tuple[bool, Any]]], what: str) -> Any:
    """Look until it holds; return what was seen then."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while True:
        holds, seen = await look()
        if holds:
            return seen
        assert time.monotonic() < deadline, f"not within {DEADLINE_SECONDS} s: {what}; seen: {seen}"
        await asyncio.sleep(0.02)
