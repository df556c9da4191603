"""Many deployments retrain under one limit of the operator."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from deployed_in_memory import server_pod
from retrained_in_memory import HOUR, Retrained

from tuneloop_operator.controller.working_runs import WorkingRuns

KEY = ("ModelDeployment", "team-a", "api")


def deployment(uid: str, state: Any) -> dict[str, Any]:
    status = None if state is None else {"retraining": {"state": state}}
    return {"kind": "ModelDeployment", "metadata": {"uid": uid}, "status": status}


def job(uid: str, *conditions: tuple[str, str], owner: str = "a", kind: str = "ModelDeployment") -> dict[str, Any]:
    """Return a FineTuneJob that belongs to an object. conditions: (type, status)."""
    owners = [{"kind": kind, "name": "api", "uid": owner, "controller": True}]
    status = {"conditions": [{"type": name, "status": value} for name, value in conditions]}
    return {"kind": "FineTuneJob", "metadata": {"uid": uid, "ownerReferences": owners}, "status": status}


@pytest.mark.parametrize(
    ("changes", "count"),
    [
        pytest.param([deployment("a", "Confirmed")], 1, id="a job that is about to be created"),
        pytest.param([deployment("a", "Confirmed"), deployment("a", "Idle")], 0, id="a run that was given up"),
        pytest.param([job("j")], 1, id="a job at work"),
        pytest.param([deployment("a", "Confirmed"), job("j")], 1, id="both are one run"),
        pytest.param([job("j"), deployment("a", "Training")], 1, id="a job that trains"),
        pytest.param([job("j"), job("j", ("Complete", "True")), deployment("a", "Evaluating")], 0, id="a model that waits"),
        pytest.param([job("j", ("Accepted", "True"), ("Failed", "True")), deployment("a", "Training")], 0, id="it failed"),
        pytest.param([job("j", ("Accepted", "False"))], 0, id="it is refused"),
        pytest.param([job("j", ("Complete", "False"))], 1, id="a condition that does not hold"),
        pytest.param([job("j", owner="a"), job("k", owner="a")], 1, id="the job of the run before is not gone yet"),
        pytest.param([job("j", owner="a"), job("k", owner="c")], 2, id="two deployments"),
        pytest.param([job("j", kind="Workflow")], 0, id="a job of somebody else"),
        pytest.param([deployment("a", None), deployment("c", ["Confirmed"])], 0, id="what fits no model"),
    ],
)  # fmt: skip
def test_a_run_counts_while_its_job_is_at_work(changes: list[dict[str, Any]], count: int) -> None:
    runs = WorkingRuns()
    for change in changes:
        runs.changed(change)
    assert runs.besides("b") == count
    assert runs.besides("a") == max(0, count - 1), "its own run"


def test_what_fits_no_model_counts_nothing() -> None:
    runs = WorkingRuns()
    runs.changed({"kind": "ModelDeployment", "metadata": {"uid": "c"}, "status": {"retraining": "Confirmed"}})
    runs.changed(job("j") | {"status": {"conditions": ["Complete"]}})
    runs.changed({"kind": "FineTuneJob", "metadata": {"uid": "k"}, "status": "Running"})
    runs.changed({"kind": "Pod", "metadata": {"uid": "p"}})
    assert runs.besides("b") == 1


def test_jobs_and_deployments_that_are_gone_count_no_more() -> None:
    runs = WorkingRuns()
    runs.changed(deployment("a", "Confirmed"))
    runs.changed(job("j", owner="c"))
    runs.forget("a")
    assert runs.besides("b") == 1
    runs.forget("j")
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
            "; blocked: runs of other deployments at work: 1; retraining.maxParallelRuns of the operator allows 1"
        )
        assert len(deployed.created) == 1

        cluster.remove(cluster.of_kind("FineTuneJob")[deployed.created[0]])
        await deployed.settle()
        await deployed.settle(later=31.0)
        assert len(deployed.created) == 2

    asyncio.run(life())


@pytest.mark.parametrize(
    ("edit", "state"),
    [
        pytest.param({"model": {"uri": "pvc://models/artifact", "pin": "FIRST"}}, "Evaluating", id="its model waits for a pin"),
        pytest.param({"gatekeeper": "unknown"}, "Training", id="its spec is refused, and its loop stands still"),
    ],
)  # fmt: skip
def test_a_job_that_has_ended_keeps_no_other_run_back(edit: dict[str, Any], state: str) -> None:
    async def life() -> None:
        deployed = Retrained(max_parallel_retrainings=1)
        first = await deployed.begin()
        twin, cluster = await add_twin(deployed), deployed.harness.cluster
        await deployed.ask()
        if "model" in edit:
            edit["model"]["pin"] = first
        await deployed.change(**edit)
        await deployed.train("d2")
        assert deployed.place == (state, "")
        found = cluster.objects[twin]
        cluster.change(found, metadata=found["metadata"] | {"annotations": {"tuneloop.dev/retrain": "t1"}})
        await deployed.settle()
        assert cluster.objects[twin]["status"]["retraining"]["state"] == "Training"

    asyncio.run(life())


def test_a_run_that_was_decided_and_never_written_keeps_no_other_run_back() -> None:
    async def life() -> None:
        deployed = Retrained(max_parallel_retrainings=1)
        await deployed.begin()
        twin, cluster = await add_twin(deployed), deployed.harness.cluster
        template = deployed.harness.job("reviews")
        cluster.remove(template)
        await deployed.ask()
        assert deployed.place == ("Blocked", "TemplateNotUsable")
        cluster.is_up = False
        again = {key: template[key] for key in ("apiVersion", "kind", "spec")}
        cluster.add(again | {"metadata": {"name": "reviews", "namespace": "team-a"}})
        await deployed.settle()
        cluster.remove(deployed.harness.job("reviews"))
        cluster.is_up = True
        await deployed.settle()
        assert deployed.place == ("Blocked", "TemplateNotUsable")
        found = cluster.objects[twin]
        cluster.change(found, metadata=found["metadata"] | {"annotations": {"tuneloop.dev/retrain": "t1"}})
        async with asyncio.timeout(10):  # the operator tries the first one again after half a second
            while cluster.objects[twin]["status"]["retraining"]["state"] != "Training":
                await asyncio.sleep(0.1)
                await deployed.settle(later=31.0)

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
