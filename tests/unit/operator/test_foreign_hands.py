"""Somebody removes our labels from a child: the operator finds or replaces it, without a hot loop, and without harm to anything else."""

from __future__ import annotations

import asyncio
import copy
from datetime import timedelta
from typing import Any

import pytest
from operator_harness import OperatorHarness

MANAGED, JOB, STAGE = "app.kubernetes.io/managed-by", "tuneloop.dev/job", "tuneloop.dev/stage"
DEPLOYMENT = "tuneloop.dev/deployment"


def take_off(harness: OperatorHarness, kind: str, name: str, label: str) -> None:
    """Remove a label. A watch that selects by the label reports a deletion, in the version of the change."""
    stored = copy.deepcopy(harness.cluster.objects[kind, "team-a", name])
    del stored["metadata"]["labels"][label]
    watchers, harness.cluster.watchers = harness.cluster.watchers, []
    changed = harness.cluster.change(stored, metadata=stored["metadata"])
    harness.operator.on_event("DELETED" if label == MANAGED else "MODIFIED", changed)
    if label == MANAGED:  # later changes, such as those of its status, are not reported
        harness.cluster.change(changed)
    harness.cluster.watchers = watchers


def conflict(status: dict[str, Any]) -> str | None:
    return next((found["message"] for found in status.get("conditions", ()) if found["type"] == "NameConflict"), None)


def deploy(harness: OperatorHarness) -> None:
    metadata = {"name": "api", "namespace": "team-a"}
    manifest = {"apiVersion": "tuneloop.dev/v1alpha1", "kind": "ModelDeployment", "metadata": metadata}
    harness.cluster.add(manifest | {"spec": {"model": {"uri": "pvc://models/artifact"}}})


def served(harness: OperatorHarness) -> dict[str, Any]:
    status: dict[str, Any] = harness.cluster.objects["ModelDeployment", "team-a", "api"]["status"]
    return status


@pytest.mark.parametrize("label", [MANAGED, JOB, STAGE])
def test_a_gang_whose_job_cannot_be_found_any_more_is_replaced_once_it_is_over(
    harness: OperatorHarness, label: str
) -> None:
    async def life() -> None:
        await harness.train()
        take_off(harness, "Job", "reviews-a1", label)
        await harness.settle()
        assert harness.jobs == {"reviews-prepare", "reviews-a1"}, "two gangs must never run at once"
        for index in (0, 1):
            harness.end_pod(f"reviews-a1-{index}", exit_code=143)
        await harness.settle()
        assert harness.jobs == {"reviews-prepare", "reviews-a1", "reviews-a2"}
        assert harness.status["restarts"]["disruption"] == 1

    asyncio.run(life())


@pytest.mark.parametrize("label", [MANAGED, JOB, STAGE])
def test_a_job_of_ours_that_cannot_be_found_is_in_the_way_of_its_successor(
    harness: OperatorHarness, label: str
) -> None:
    async def life() -> None:
        harness.submit()
        await harness.settle()
        take_off(harness, "Job", "reviews-prepare", label)
        await harness.settle()
        assert "Job reviews-prepare" in (conflict(harness.status) or "")
        before = len(harness.cluster.writes)
        for _ in range(40):
            await harness.settle(later=31)
        assert len(harness.cluster.writes) == before
        harness.cluster.remove(harness.cluster.objects["Job", "team-a", "reviews-prepare"])
        await harness.settle(later=31)
        assert conflict(harness.status) is None
        assert "uid" in harness.status["children"]["prepare"]

    asyncio.run(life())


@pytest.mark.parametrize("label", [MANAGED, DEPLOYMENT])
def test_a_configuration_of_a_server_without_its_label_is_a_name_conflict(harness: OperatorHarness, label: str) -> None:
    async def life() -> None:
        deploy(harness)
        await harness.settle()
        (name,) = harness.cluster.of_kind("ConfigMap")
        take_off(harness, "ConfigMap", name, label)
        await harness.settle()
        assert f"ConfigMap {name}" in (conflict(served(harness)) or "")

    asyncio.run(life())


@pytest.mark.parametrize("label", [MANAGED, JOB])
def test_a_label_that_was_taken_off_what_is_applied_is_put_back_at_once(harness: OperatorHarness, label: str) -> None:
    async def life() -> None:
        await harness.train()
        take_off(harness, "Service", "reviews-train", label)
        await harness.settle()
        assert label in harness.cluster.of_kind("Service")["reviews-train"]["metadata"]["labels"]
        before = len(harness.cluster.writes)
        await harness.settle(later=60)
        assert len(harness.cluster.writes) == before

    asyncio.run(life())


def test_a_deployment_whose_name_somebody_elses_service_has_is_not_ready(harness: OperatorHarness) -> None:
    async def life() -> None:
        theirs = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "api", "namespace": "team-a"}, "spec": {}}
        stored = harness.cluster.add(theirs)
        deploy(harness)
        await harness.settle()
        (name,) = harness.cluster.of_kind("Deployment")
        harness.cluster.change(harness.cluster.of_kind("Deployment")[name], status={"readyReplicas": 1})
        await harness.settle(later=31)
        assert served(harness)["phase"] == "Degraded"
        ready = next(found for found in served(harness)["conditions"] if found["type"] == "Ready")
        assert (ready["status"], "Service api is not ours" in ready["message"]) == ("False", True)
        harness.cluster.remove(stored)
        await harness.settle(later=31)
        assert served(harness)["phase"] == "Ready"

    asyncio.run(life())


# ---- queues ---------------------------------------------------------------------------------------------------------------------------


def test_a_gang_that_lost_a_pod_is_not_shown_as_queued_again(harness: OperatorHarness) -> None:
    async def life() -> None:
        await harness.train()
        harness.cluster.remove(
            next(pod for name, pod in harness.cluster.of_kind("Pod").items() if name.startswith("reviews-a1-"))
        )
        await harness.settle()
        assert (harness.status["phase"], harness.status["workers"]) == ("Running", "1/2")

    asyncio.run(life())


def suspend(harness: OperatorHarness, name: str, *, suspended: bool) -> None:
    """Suspend or resume a Job as a queue does. The Job controller deletes the pods of a suspended Job, and records the start of a resumed one."""
    stored = harness.cluster.of_kind("Job")[name]
    status = {} if suspended else {"startTime": harness.stamp()}
    harness.cluster.change(stored, spec=stored["spec"] | {"suspend": suspended}, status=status)
    if suspended:
        for pod in [pod for pod in harness.cluster.of_kind("Pod") if pod.startswith(f"{name}-")]:
            harness.end_pod(pod, exit_code=143)
            harness.cluster.remove(harness.cluster.of_kind("Pod")[pod])


def test_a_gang_that_a_queue_suspends_is_one_disruption_of_the_same_attempt(harness: OperatorHarness) -> None:
    async def life() -> None:
        await harness.train()
        suspend(harness, "reviews-a1", suspended=True)
        await harness.settle()
        assert (harness.status["phase"], harness.status["attempt"]) == ("Queued", 1)
        assert (harness.status["restarts"]["disruption"], harness.status["restarts"]["lastReason"]) == (1, "Preempted")
        harness.restart_operator()
        await harness.settle(later=60)
        suspend(harness, "reviews-a1", suspended=False)
        harness.start_pods("reviews-a1")
        await harness.settle()
        assert harness.status["phase"] == "Running"
        assert (harness.status["restarts"]["total"], harness.jobs) == (1, {"reviews-prepare", "reviews-a1"})
        suspend(harness, "reviews-a1", suspended=True)
        await harness.settle()
        assert harness.status["restarts"]["disruption"] == 2

    asyncio.run(life())


@pytest.mark.parametrize("again", ["by the queue", "by its user"])
def test_what_a_gang_used_before_a_queue_took_its_nodes_back_is_counted_once(
    harness: OperatorHarness, again: str
) -> None:
    async def life() -> None:
        await harness.train()
        await harness.settle(later=100)
        suspend(harness, "reviews-a1", suspended=True)
        await harness.settle()
        assert harness.status["usage"]["activeSeconds"] == 100
        await harness.settle(later=60)
        suspend(harness, "reviews-a1", suspended=False)
        await harness.settle(later=60)
        assert harness.status["phase"] != "Running"  # resumed, but no pod runs yet
        if again == "by the queue":
            suspend(harness, "reviews-a1", suspended=True)
        else:
            harness.cluster.change(harness.job(), spec=harness.job()["spec"] | {"suspend": True})
        await harness.settle()
        assert harness.status["usage"]["activeSeconds"] == 100

    asyncio.run(life())


def test_the_termination_messages_of_a_gang_that_a_queue_suspends_count(harness: OperatorHarness) -> None:
    saved = {"step": 155, "path": "/tuneloop/claims/models/step-155"}
    message = {"version": 1, "stage": "train", "outcome": "Preempted", "failureClass": "Preempted"}
    message |= {"train": {"startStep": 0, "steps": 155, "worldSize": 2, "last": saved, "stepSeconds": 62.0}}

    async def life() -> None:
        await harness.train()
        await harness.settle(later=100)
        stored = harness.cluster.of_kind("Job")["reviews-a1"]
        harness.cluster.change(stored, spec=stored["spec"] | {"suspend": True})
        await harness.settle()
        assert (harness.status["phase"], harness.status["restarts"]["disruption"]) == ("Queued", 1)
        harness.now += timedelta(seconds=20)
        for name in ("reviews-a1-1", "reviews-a1-0"):
            harness.end_pod(name, exit_code=79, message=message)
            harness.cluster.remove(harness.cluster.of_kind("Pod")[name])
        await harness.settle(later=300)
        usage = harness.status["usage"]
        assert (usage["activeSeconds"], usage["lostSteps"], usage["usefulSeconds"]) == (120, 0, 62)
        assert harness.status["checkpoint"]["latest"]["step"] == 155
        suspend(harness, "reviews-a1", suspended=False)
        harness.start_pods("reviews-a1")
        await harness.settle()
        suspend(harness, "reviews-a1", suspended=True)
        await harness.settle(later=50)
        assert harness.status["usage"]["activeSeconds"] == 120  # the second time it was up for no second

    asyncio.run(life())


def test_a_gang_that_waits_in_a_queue_from_the_start_is_none(harness: OperatorHarness) -> None:
    async def life() -> None:
        create = harness.cluster.create

        async def admitted(manifest: dict[str, Any]) -> dict[str, Any]:
            queued = {"suspend": True} if manifest["metadata"]["name"] == "reviews-a1" else {}
            stored: dict[str, Any] = await create(manifest | ({"spec": manifest["spec"] | queued} if queued else {}))
            return stored

        harness.cluster.create = admitted
        harness.submit()
        await harness.settle()
        harness.succeed("reviews-prepare")
        await harness.settle()
        assert harness.status["phase"] == "Queued"
        assert "restarts" not in harness.status

    asyncio.run(life())
