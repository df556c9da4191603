"""Many deployments retrain under one limit of the operator."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from deployed_in_memory import server_pod
from retrained_in_memory import HOUR, Retrained

from tuneloop_operator.controller.working_runs import WorkingRuns

KEY = ("ModelDeployment", "team-a", "api")


def deployment(uid: str, state: str | None, *, kind: str = "ModelDeployment") -> dict[str, Any]:
    status = None if state is None else {"retraining": {"state": state}}
    return {"kind": kind, "metadata": {"uid": uid}, "status": status}


@pytest.mark.parametrize(
    ("states", "count"),
    [
        (["Training"], 1),
        (["Confirmed"], 1),
        (["Evaluating"], 1),
        (["Idle"], 0),
        (["Blocked"], 0),
        (["Canary"], 0),
        (["Baking"], 0),
        ([None], 0),
        (["Training", "Canary"], 0),
        (["Training", "Evaluating"], 1),
    ],
)
def test_a_run_counts_while_its_job_is_at_work(states: list[str | None], count: int) -> None:
    runs = WorkingRuns()
    for state in states:
        runs.changed(deployment("a", state))
    assert runs.besides("b") == count
    assert runs.besides("a") == 0, "its own run"


def test_runs_of_deployments_that_are_gone_and_of_other_kinds_do_not_count() -> None:
    runs = WorkingRuns()
    runs.changed(deployment("a", "Training"))
    runs.changed(deployment("j", "Training", kind="FineTuneJob"))
    runs.forget("a")
    assert runs.besides("b") == 0
    runs.changed(
        {"kind": "ModelDeployment", "metadata": {"uid": "c"}, "status": {"retraining": {"state": ["Training"]}}}
    )
    runs.changed({"kind": "ModelDeployment", "metadata": {"uid": "d"}, "status": {"retraining": "Training"}})
    assert runs.besides("b") == 0


async def add_twin(deployed: Retrained) -> tuple[str, str, str]:
    """Copy the deployment and its template into another namespace, let it serve, and return its key."""
    cluster = deployed.harness.cluster
    for kind, name in (("FineTuneJob", "reviews"), ("ModelDeployment", "api")):
        found = cluster.objects[kind, "team-a", name]
        metadata = {"name": name, "namespace": "team-b"}
        cluster.add({key: found[key] for key in ("apiVersion", "kind", "spec")} | {"metadata": metadata})
    await deployed.harness.settle()
    (servers,) = [found for key, found in cluster.objects.items() if key[:2] == ("Deployment", "team-b")]
    cluster.change(servers, status={"readyReplicas": 1})
    pod = server_pod(servers["metadata"]["labels"]["tuneloop.dev/revision"], 0)
    cluster.add(pod | {"metadata": pod["metadata"] | {"namespace": "team-b"}})
    await deployed.harness.settle()
    return "ModelDeployment", "team-b", "api"


def test_of_two_deployments_that_are_asked_at_once_one_starts_and_the_other_follows() -> None:
    async def life() -> None:
        deployed = Retrained(max_parallel_retrainings=1)
        await deployed.begin()
        twin, cluster = await add_twin(deployed), deployed.harness.cluster
        await deployed.settle(later=HOUR + 1)
        cluster.statuses_take_their_time = True
        annotations = {"tuneloop.dev/retrain": "t1"}
        for key in (KEY, twin):
            found = cluster.objects[key]
            cluster.change(found, metadata=found["metadata"] | {"annotations": annotations})
        await deployed.settle()
        cluster.statuses_take_their_time = False
        loops = {key[1]: cluster.objects[key]["status"]["retraining"] for key in (KEY, twin)}
        assert sorted(loop["state"] for loop in loops.values()) == ["Blocked", "Training"], loops
        (waits,) = [loop for loop in loops.values() if loop["state"] == "Blocked"]
        assert waits["blockedReason"] == "ParallelRuns"
        assert waits["message"].endswith(
            "; blocked: 1 runs of other deployments are at work, retraining.maxParallelRuns of the operator is 1"
        )
        assert len(deployed.created) == 1

        cluster.remove(cluster.of_kind("FineTuneJob")[deployed.created[0]])
        await deployed.settle()
        await deployed.settle(later=31.0)
        assert len(deployed.created) == 2

    asyncio.run(life())


def test_without_a_limit_both_start() -> None:
    async def life() -> None:
        deployed = Retrained()
        await deployed.begin()
        twin = await add_twin(deployed)
        await deployed.settle(later=HOUR + 1)
        for key in (KEY, twin):
            found = deployed.harness.cluster.objects[key]
            annotations = {"tuneloop.dev/retrain": "t1"}
            deployed.harness.cluster.change(found, metadata=found["metadata"] | {"annotations": annotations})
        await deployed.settle()
        assert len(deployed.created) == 2

    asyncio.run(life())
