"""Somebody takes our labels off a child: it is looked for where it must be, never twice in a hot loop, and nothing else suffers."""

from __future__ import annotations

import asyncio
import copy
from datetime import timedelta
from typing import Any

import pytest

Bed = Any
MANAGED, JOB, STAGE = "app.kubernetes.io/managed-by", "tuneloop.dev/job", "tuneloop.dev/stage"
DEPLOYMENT = "tuneloop.dev/deployment"


def take_off(bed: Bed, kind: str, name: str, label: str) -> None:
    """Take a label off; who watches by the label is told of a deletion, in the version of the change."""
    stored = copy.deepcopy(bed.cluster.objects[kind, "team-a", name])
    del stored["metadata"]["labels"][label]
    watchers, bed.cluster.watchers = bed.cluster.watchers, []
    changed = bed.cluster.change(stored, metadata=stored["metadata"])
    bed.operator.on_event("DELETED" if label == MANAGED else "MODIFIED", changed)
    if label == MANAGED:  # what others write from now on, such as its status, is not told
        bed.cluster.change(changed)
    bed.cluster.watchers = watchers


def conflict(status: dict[str, Any]) -> str | None:
    return next((one["message"] for one in status.get("conditions", ()) if one["type"] == "NameConflict"), None)


def deploy(bed: Bed) -> None:
    metadata = {"name": "api", "namespace": "team-a"}
    manifest = {"apiVersion": "tuneloop.dev/v1alpha1", "kind": "ModelDeployment", "metadata": metadata}
    bed.cluster.add(manifest | {"spec": {"model": {"uri": "pvc://models/artifact"}}})


def served(bed: Bed) -> dict[str, Any]:
    status: dict[str, Any] = bed.cluster.objects["ModelDeployment", "team-a", "api"]["status"]
    return status


@pytest.mark.parametrize("label", [MANAGED, JOB, STAGE])
def test_a_gang_whose_job_cannot_be_found_any_more_is_replaced_once_it_is_over(bed: Bed, label: str) -> None:
    async def life() -> None:
        await bed.train()
        take_off(bed, "Job", "reviews-a1", label)
        await bed.settle()
        assert bed.jobs == {"reviews-prepare", "reviews-a1"}, "two gangs must never run at once"
        for index in (0, 1):
            bed.end_pod(f"reviews-a1-{index}", exit_code=143)
        await bed.settle()
        assert bed.jobs == {"reviews-prepare", "reviews-a1", "reviews-a2"}
        assert bed.status["restarts"]["disruption"] == 1

    asyncio.run(life())


@pytest.mark.parametrize("label", [MANAGED, JOB, STAGE])
def test_a_job_of_ours_that_cannot_be_found_is_in_the_way_of_its_successor(bed: Bed, label: str) -> None:
    async def life() -> None:
        bed.submit()
        await bed.settle()
        take_off(bed, "Job", "reviews-prepare", label)
        await bed.settle()
        assert "Job reviews-prepare" in (conflict(bed.status) or "")
        before = len(bed.cluster.writes)
        for _ in range(120):
            await bed.settle(later=31)
        assert len(bed.cluster.writes) == before
        bed.cluster.remove(bed.cluster.objects["Job", "team-a", "reviews-prepare"])
        await bed.settle(later=31)
        assert conflict(bed.status) is None
        assert "uid" in bed.status["children"]["prepare"]

    asyncio.run(life())


@pytest.mark.parametrize("label", [MANAGED, DEPLOYMENT])
def test_a_configuration_of_a_server_that_cannot_be_found_is_said_to_be_in_the_way(bed: Bed, label: str) -> None:
    async def life() -> None:
        deploy(bed)
        await bed.settle()
        (name,) = bed.cluster.of_kind("ConfigMap")
        take_off(bed, "ConfigMap", name, label)
        await bed.settle()
        assert f"ConfigMap {name}" in (conflict(served(bed)) or "")

    asyncio.run(life())


@pytest.mark.parametrize("label", [MANAGED, JOB])
def test_a_label_that_was_taken_off_what_is_applied_is_put_back_at_once(bed: Bed, label: str) -> None:
    async def life() -> None:
        await bed.train()
        take_off(bed, "Service", "reviews-train", label)
        await bed.settle()
        assert label in bed.cluster.of_kind("Service")["reviews-train"]["metadata"]["labels"]
        before = len(bed.cluster.writes)
        await bed.settle(later=60)
        assert len(bed.cluster.writes) == before

    asyncio.run(life())


def test_a_deployment_whose_name_somebody_elses_service_has_is_not_ready(bed: Bed) -> None:
    async def life() -> None:
        theirs = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "api", "namespace": "team-a"}, "spec": {}}
        stored = bed.cluster.add(theirs)
        deploy(bed)
        await bed.settle()
        (name,) = bed.cluster.of_kind("Deployment")
        bed.cluster.change(bed.cluster.of_kind("Deployment")[name], status={"readyReplicas": 1})
        await bed.settle(later=31)
        assert served(bed)["phase"] == "Degraded"
        ready = next(one for one in served(bed)["conditions"] if one["type"] == "Ready")
        assert (ready["status"], "Service api is not ours" in ready["message"]) == ("False", True)
        bed.cluster.remove(stored)
        await bed.settle(later=31)
        assert served(bed)["phase"] == "Ready"

    asyncio.run(life())


# ---- queues ---------------------------------------------------------------------------------------------------------------------------


def test_a_gang_that_lost_a_pod_is_not_shown_as_queued_again(bed: Bed) -> None:
    async def life() -> None:
        await bed.train()
        bed.cluster.remove(
            next(pod for name, pod in bed.cluster.of_kind("Pod").items() if name.startswith("reviews-a1-"))
        )
        await bed.settle()
        assert (bed.status["phase"], bed.status["workers"]) == ("Running", "1/2")

    asyncio.run(life())


def suspend(bed: Bed, name: str, *, suspended: bool) -> None:
    """Suspend or resume a Job as a queue does; the Job controller deletes the pods of a suspended one, and keeps when it was let go."""
    stored = bed.cluster.of_kind("Job")[name]
    status = {} if suspended else {"startTime": bed.stamp()}
    bed.cluster.change(stored, spec=stored["spec"] | {"suspend": suspended}, status=status)
    if suspended:
        for pod in [one for one in bed.cluster.of_kind("Pod") if one.startswith(f"{name}-")]:
            bed.end_pod(pod, exit_code=143)
            bed.cluster.remove(bed.cluster.of_kind("Pod")[pod])


def test_a_gang_that_a_queue_suspends_is_one_disruption_of_the_same_attempt(bed: Bed) -> None:
    async def life() -> None:
        await bed.train()
        suspend(bed, "reviews-a1", suspended=True)
        await bed.settle()
        assert (bed.status["phase"], bed.status["attempt"]) == ("Queued", 1)
        assert (bed.status["restarts"]["disruption"], bed.status["restarts"]["lastReason"]) == (1, "Preempted")
        bed.restart_operator()
        await bed.settle(later=60)
        suspend(bed, "reviews-a1", suspended=False)
        bed.start_pods("reviews-a1")
        await bed.settle()
        assert bed.status["phase"] == "Running"
        assert (bed.status["restarts"]["total"], bed.jobs) == (1, {"reviews-prepare", "reviews-a1"})
        suspend(bed, "reviews-a1", suspended=True)
        await bed.settle()
        assert bed.status["restarts"]["disruption"] == 2

    asyncio.run(life())


@pytest.mark.parametrize("again", ["by the queue", "by its user"])
def test_what_a_gang_used_before_a_queue_took_its_nodes_back_is_counted_once(bed: Bed, again: str) -> None:
    async def life() -> None:
        await bed.train()
        await bed.settle(later=100)
        suspend(bed, "reviews-a1", suspended=True)
        await bed.settle()
        assert bed.status["usage"]["activeSeconds"] == 100
        await bed.settle(later=60)
        suspend(bed, "reviews-a1", suspended=False)
        await bed.settle(later=60)
        assert bed.status["phase"] != "Running"  # let go, but no pod is up yet
        if again == "by the queue":
            suspend(bed, "reviews-a1", suspended=True)
        else:
            bed.cluster.change(bed.job(), spec=bed.job()["spec"] | {"suspend": True})
        await bed.settle()
        assert bed.status["usage"]["activeSeconds"] == 100

    asyncio.run(life())


def test_what_the_pods_of_a_gang_say_that_a_queue_sends_back_is_heard(bed: Bed) -> None:
    saved = {"step": 155, "path": "/tuneloop/claims/models/step-155"}
    said = {"version": 1, "stage": "train", "outcome": "Preempted", "failureClass": "Preempted"}
    said |= {"train": {"startStep": 0, "steps": 155, "worldSize": 2, "last": saved, "stepSeconds": 62.0}}

    async def life() -> None:
        await bed.train()
        await bed.settle(later=100)
        stored = bed.cluster.of_kind("Job")["reviews-a1"]
        bed.cluster.change(stored, spec=stored["spec"] | {"suspend": True})
        await bed.settle()
        assert (bed.status["phase"], bed.status["restarts"]["disruption"]) == ("Queued", 1)
        bed.now += timedelta(seconds=20)
        for name in ("reviews-a1-1", "reviews-a1-0"):
            bed.end_pod(name, exit_code=79, message=said)
            bed.cluster.remove(bed.cluster.of_kind("Pod")[name])
        await bed.settle(later=300)
        usage = bed.status["usage"]
        assert (usage["activeSeconds"], usage["lostSteps"], usage["usefulSeconds"]) == (120, 0, 62)
        assert bed.status["checkpoint"]["latest"]["step"] == 155
        suspend(bed, "reviews-a1", suspended=False)
        bed.start_pods("reviews-a1")
        await bed.settle()
        suspend(bed, "reviews-a1", suspended=True)
        await bed.settle(later=50)
        assert bed.status["usage"]["activeSeconds"] == 120  # the second time it was up for no second

    asyncio.run(life())


def test_a_gang_that_waits_in_a_queue_from_the_start_is_none(bed: Bed) -> None:
    async def life() -> None:
        create = bed.cluster.create

        async def admitted(manifest: dict[str, Any]) -> dict[str, Any]:
            queued = {"suspend": True} if manifest["metadata"]["name"] == "reviews-a1" else {}
            stored: dict[str, Any] = await create(manifest | ({"spec": manifest["spec"] | queued} if queued else {}))
            return stored

        bed.cluster.create = admitted
        bed.submit()
        await bed.settle()
        bed.succeed("reviews-prepare")
        await bed.settle()
        assert bed.status["phase"] == "Queued"
        assert "restarts" not in bed.status

    asyncio.run(life())
