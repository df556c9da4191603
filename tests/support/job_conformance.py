"""Conformance of Job controllers: one table of cases that Kubernetes' own controller passes, and that of local mode.

A case drives a `JobUnderTest`: it requests changes, and acts as the kubelet. A pod runs until `end` is called; a pod that is being deleted
runs until `let_go` is called.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Protocol

from waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    Object = dict[str, Any]
    Case = Callable[["JobUnderTest"], Awaitable[None]]

INDEX = "batch.kubernetes.io/job-completion-index"
DEADLINE_SECONDS = 30.0
NAME = "gang"
_CONTAINER_SECONDS = 60


class JobUnderTest(Protocol):
    """A namespace with a controller and one Job, named `gang`."""

    async def create(self, spec: Object) -> None:
        """Create the Job; the implementation adds the template."""

    async def job(self) -> Object | None:
        """Return the Job."""

    async def pods(self) -> list[Object]:
        """Return the Job's pods, by index."""

    async def run(self, pod: Object) -> None:
        """Let a pod run and be ready."""

    async def end(self, pod: Object, code: int) -> None:
        """Let a running pod end with this exit code."""

    async def let_go(self, pod: Object) -> None:
        """Let a pod end that is being deleted, so that the pod vanishes."""

    async def suspend(self, *, suspend: bool) -> None:
        """Set `spec.suspend`."""

    async def delete_job(self) -> None:
        """Delete the Job, its pods in the background."""

    async def delete_pod(self, pod: Object) -> None:
        """Delete one pod with its grace period."""


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
    return {item["type"]: (item["status"], item["reason"]) for item in job["status"].get("conditions", [])}


def variable(pod: Object, name: str) -> Object:
    """Return where a variable of the pod's environment comes from."""
    (found,) = [item for item in pod["spec"]["containers"][0]["env"] if item["name"] == name]
    field: Object = found["valueFrom"]["fieldRef"]
    return {"fieldPath": field["fieldPath"]}


def phase(pod: Object) -> str:
    """Return the pod's phase."""
    return str(pod["status"].get("phase"))


async def count(gang: JobUnderTest, number: int) -> list[Object]:
    """Return the pods once there are `number` of them."""
    return await until(lambda: pods_if(gang, number), f"{number} pods")


async def pods_if(gang: JobUnderTest, number: int) -> tuple[bool, list[Object]]:
    pods = await gang.pods()
    return len(pods) == number, pods


async def condition(gang: JobUnderTest, kind: str) -> Object:
    """Return the Job once this condition is true."""
    return await until(lambda: job_if(gang, lambda job: conditions(job).get(kind, ("",))[0] == "True"), kind)


async def shows(gang: JobUnderTest, **expected: Any) -> Object:
    """Return the Job once its status has these values. An absent field counts as 0 or empty."""

    def holds(job: Object) -> bool:
        found = {name: job["status"].get(name, type(value)()) for name, value in expected.items()}
        return found == expected

    return await until(lambda: job_if(gang, holds), str(expected))


async def job_if(gang: JobUnderTest, holds: Callable[[Object], bool]) -> tuple[bool, Object | None]:
    job = await gang.job()
    return job is not None and holds(job), job


async def is_none(value: Awaitable[Any]) -> tuple[bool, Any]:
    found = await value
    return found is None, found


async def all_deleted(gang: JobUnderTest) -> tuple[bool, list[Object]]:
    pods = await gang.pods()
    return all("deletionTimestamp" in pod["metadata"] for pod in pods), pods


async def until(look: Callable[[], Awaitable[tuple[bool, Any]]], what: str) -> Any:
    """Call `look` until its first result is true; return the second."""
    found: Any = None

    async def holds() -> bool:
        nonlocal found
        result, found = await look()
        return result

    try:
        await eventually(holds, seconds=DEADLINE_SECONDS, what=what)
    except AssertionError as error:
        error.add_note(f"found: {found}")
        raise
    return found
