"""Whole lives of a ModelDeployment on a cluster in memory."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from operator_harness import OperatorHarness


def deploy(harness: OperatorHarness, **spec: Any) -> None:
    metadata = {"name": "api", "namespace": "team-a"}
    manifest = {"apiVersion": "tuneloop.dev/v1alpha1", "kind": "ModelDeployment", "metadata": metadata}
    harness.cluster.add(manifest | {"spec": {"model": {"uri": "pvc://models/artifact"}} | spec})


def served(harness: OperatorHarness) -> dict[str, Any]:
    status: dict[str, Any] = harness.cluster.objects["ModelDeployment", "team-a", "api"].get("status", {})
    return status


def change(harness: OperatorHarness, **spec: Any) -> None:
    stored = harness.cluster.objects["ModelDeployment", "team-a", "api"]
    harness.cluster.change(stored, spec=stored["spec"] | spec)


def ready(harness: OperatorHarness, name: str, replicas: int = 1) -> None:
    harness.cluster.change(harness.cluster.of_kind("Deployment")[name], status={"readyReplicas": replicas})


def target(harness: OperatorHarness) -> str:
    """Return the revision that the deployment's own Service leads to."""
    revision: str = harness.cluster.of_kind("Service")["api"]["spec"]["selector"]["tuneloop.dev/revision"]
    return revision


def test_a_deployment_is_ready_once_its_servers_are(harness: OperatorHarness) -> None:
    async def life() -> None:
        deploy(harness, replicas=2)
        await harness.settle()
        (name,) = harness.cluster.of_kind("Deployment")
        assert (served(harness)["phase"], served(harness)["ready"]) == ("Loading", "0/2")
        assert set(harness.cluster.of_kind("Service")) == {"api", name}
        ready(harness, name, 1)
        await harness.settle()
        assert (served(harness)["phase"], served(harness)["ready"]) == ("Degraded", "1/2")
        ready(harness, name, 2)
        await harness.settle()
        assert (served(harness)["phase"], served(harness)["ready"]) == ("Ready", "2/2")
        assert served(harness)["url"] == "http://api.team-a.svc"

    asyncio.run(life())


def test_a_job_that_publishes_its_adapter_alone_is_not_waited_for(harness: OperatorHarness) -> None:
    async def life() -> None:
        harness.submit(output={"mergeAdapter": False})
        deploy(harness, model={"fineTuneJobRef": {"name": "reviews"}})
        await harness.settle()
        found = {entry["type"]: (entry["status"], entry["reason"]) for entry in served(harness)["conditions"]}
        assert found["ModelAvailable"] == ("False", "AdapterAlone")
        assert found["Stalled"] == ("True", "AdapterAlone")
        assert harness.cluster.of_kind("Deployment") == {}

    asyncio.run(life())


def test_a_deployment_waits_for_its_job_and_then_serves_what_it_made(harness: OperatorHarness) -> None:
    async def life() -> None:
        deploy(harness, model={"fineTuneJobRef": {"name": "reviews"}})
        await harness.settle()
        assert served(harness)["conditions"][1]["reason"] == "JobNotFound"
        harness.submit()
        await harness.settle()
        assert served(harness)["conditions"][1]["reason"] == "JobNotFinished"
        for job in ("reviews-prepare", "reviews-a1", "reviews-export"):
            harness.succeed(job)
            await harness.settle()
        assert served(harness)["phase"] == "Loading"
        (name,) = harness.cluster.of_kind("Deployment")
        config = harness.cluster.of_kind("ConfigMap")[name]["data"]["server.json"]
        assert "/tuneloop/claims/models/jobs/reviews/artifact" in config
        assert harness.status["artifact"]["digest"] in config

    asyncio.run(life())


def test_a_large_artifact_has_time_to_load_and_a_change_of_that_time_replaces_no_server(
    harness: OperatorHarness,
) -> None:
    async def life() -> None:
        harness.submit()
        await harness.settle()
        for job, made in (("reviews-prepare", {}), ("reviews-a1", {}), ("reviews-export", {"sizeBytes": 40 * 10**9})):
            harness.succeed(job, **made)
            await harness.settle()
        deploy(harness, model={"fineTuneJobRef": {"name": "reviews"}})
        await harness.settle()
        ((name, servers),) = harness.cluster.of_kind("Deployment").items()
        (container,) = servers["spec"]["template"]["spec"]["containers"]
        assert container["startupProbe"]["failureThreshold"] == 2000
        assert servers["spec"]["progressDeadlineSeconds"] == 2600
        config = json.loads(harness.cluster.of_kind("ConfigMap")[name]["data"]["server.json"])
        assert config["startupSeconds"] == 2000
        container["startupProbe"]["failureThreshold"] = 600  # as an earlier release of the operator began it
        harness.cluster.change(servers, spec=servers["spec"] | {"progressDeadlineSeconds": 1200})
        harness.restart_operator()
        await harness.settle()
        ((_, kept),) = harness.cluster.of_kind("Deployment").items()
        assert kept["spec"] == servers["spec"] | {"progressDeadlineSeconds": 1200}

    asyncio.run(life())


def test_requests_go_to_the_old_revision_until_the_new_one_answers(harness: OperatorHarness) -> None:
    async def life() -> None:
        deploy(harness)
        await harness.settle()
        (old,) = harness.cluster.of_kind("Deployment")
        ready(harness, old)
        await harness.settle()
        change(harness, batching={"maxBatchSize": 1})
        await harness.settle()
        (new,) = set(harness.cluster.of_kind("Deployment")) - {old}
        assert served(harness)["phase"] == "Progressing"
        assert old.endswith(target(harness))
        ready(harness, new)
        await harness.settle()
        assert new.endswith(target(harness))
        assert served(harness)["phase"] == "Ready"
        for kind in ("Deployment", "ConfigMap"):
            assert set(harness.cluster.of_kind(kind)) == {new}
        assert set(harness.cluster.of_kind("Service")) == {"api", new}

    asyncio.run(life())


def test_more_replicas_are_the_same_revision(harness: OperatorHarness) -> None:
    async def life() -> None:
        deploy(harness)
        await harness.settle()
        (name,) = harness.cluster.of_kind("Deployment")
        change(harness, replicas=3)
        await harness.settle()
        assert list(harness.cluster.of_kind("Deployment")) == [name]
        assert harness.cluster.of_kind("Deployment")[name]["spec"]["replicas"] == 3

    asyncio.run(life())


def test_what_was_changed_or_deleted_by_hand_is_restored(harness: OperatorHarness) -> None:
    async def life() -> None:
        deploy(harness)
        await harness.settle()
        (name, stored) = next(iter(harness.cluster.of_kind("Deployment").items()))
        harness.cluster.change(stored, spec=stored["spec"] | {"replicas": 7})
        harness.cluster.remove(harness.cluster.of_kind("Service")["api"])
        await harness.settle()
        assert harness.cluster.of_kind("Deployment")[name]["spec"]["replicas"] == 1
        assert "api" in harness.cluster.of_kind("Service")

    asyncio.run(life())


def test_a_deployment_in_which_nothing_is_left_to_do_costs_no_call(harness: OperatorHarness) -> None:
    async def life() -> None:
        deploy(harness)
        await harness.settle()
        ready(harness, next(iter(harness.cluster.of_kind("Deployment"))))
        await harness.settle()
        writes, reads = len(harness.cluster.writes), harness.cluster.reads
        harness.restart_operator()
        await harness.settle(later=3600)
        assert (len(harness.cluster.writes), harness.cluster.reads) == (writes, reads)

    asyncio.run(life())


def test_a_name_that_somebody_else_holds_is_never_taken(harness: OperatorHarness) -> None:
    async def life() -> None:
        metadata = {"name": "api", "namespace": "team-a"}
        theirs = {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": {"selector": {"app": "theirs"}}}
        harness.cluster.add(theirs)
        deploy(harness)
        await harness.settle()
        assert harness.cluster.of_kind("Service")["api"]["spec"] == theirs["spec"]
        (conflict,) = [found for found in served(harness)["conditions"] if found["type"] == "NameConflict"]
        assert "Service api is not ours" in conflict["message"]

    asyncio.run(life())


def test_a_blocker_that_stays_is_written_once(harness: OperatorHarness) -> None:
    async def life() -> None:
        metadata = {"name": "api", "namespace": "team-a"}
        stored = harness.cluster.add({"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": {}})
        deploy(harness)
        await harness.settle()
        (name,) = harness.cluster.of_kind("Deployment")
        ready(harness, name)
        await harness.settle(later=31)
        before = served(harness)
        written = len([write for write in harness.cluster.writes if write[0] == "patch_status"])
        for _ in range(3):
            await harness.settle(later=31)
        assert len([write for write in harness.cluster.writes if write[0] == "patch_status"]) == written
        assert served(harness) == before
        assert before["conditions"][-1]["type"] == "Stalled"
        harness.cluster.remove(stored)
        await harness.settle(later=31)
        assert served(harness)["phase"] == "Ready"
        assert {found["type"] for found in served(harness)["conditions"]} == {"Accepted", "ModelAvailable", "Ready"}

    asyncio.run(life())
