"""`JobUnderTest`: a Job whose controller is tested, and what a test waits for. A controller of any kind implements it.

A pod runs until `end` is called; a pod that is being deleted runs until `let_go` is called.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    Object = dict[str, Any]


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
        """Let a pod end that is being deleted, so that the pod is removed."""

    async def suspend(self, *, suspend: bool) -> None:
        """Set `spec.suspend`."""

    async def delete_job(self) -> None:
        """Delete the Job, its pods in the background."""

    async def delete_pod(self, pod: Object) -> None:
        """Delete one pod with its grace period."""


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


async def until(condition: Callable[[], Awaitable[tuple[bool, Any]]], what: str) -> Any:
    """Call `condition` until its first result is true; return the second."""
    found: Any = None

    async def holds() -> bool:
        nonlocal found
        result, found = await condition()
        return result

    try:
        await eventually(holds, seconds=DEADLINE_SECONDS, what=what)
    except AssertionError as error:
        error.add_note(f"found: {found}")
        raise
    return found
