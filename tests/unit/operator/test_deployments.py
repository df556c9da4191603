"""Whole lives of a ModelDeployment on a cluster in memory."""

from __future__ import annotations

import asyncio
from typing import Any

Bed = Any


def deploy(bed: Bed, **spec: Any) -> None:
    metadata = {"name": "api", "namespace": "team-a"}
    manifest = {"apiVersion": "tuneloop.dev/v1alpha1", "kind": "ModelDeployment", "metadata": metadata}
    bed.cluster.add(manifest | {"spec": {"model": {"uri": "pvc://models/artifact"}} | spec})


def served(bed: Bed) -> dict[str, Any]:
    status: dict[str, Any] = bed.cluster.objects["ModelDeployment", "team-a", "api"].get("status", {})
    return status


def change(bed: Bed, **spec: Any) -> None:
    stored = bed.cluster.objects["ModelDeployment", "team-a", "api"]
    bed.cluster.change(stored, spec=stored["spec"] | spec)


def ready(bed: Bed, name: str, replicas: int = 1) -> None:
    bed.cluster.change(bed.cluster.of_kind("Deployment")[name], status={"readyReplicas": replicas})


def target(bed: Bed) -> str:
    """Return the revision that the deployment's own Service leads to."""
    revision: str = bed.cluster.of_kind("Service")["api"]["spec"]["selector"]["tuneloop.dev/revision"]
    return revision


def test_a_deployment_is_ready_once_its_servers_are(bed: Bed) -> None:
    async def life() -> None:
        deploy(bed, replicas=2)
        await bed.settle()
        (name,) = bed.cluster.of_kind("Deployment")
        assert (served(bed)["phase"], served(bed)["ready"]) == ("Loading", "0/2")
        assert set(bed.cluster.of_kind("Service")) == {"api", name}
        ready(bed, name, 1)
        await bed.settle()
        assert (served(bed)["phase"], served(bed)["ready"]) == ("Degraded", "1/2")
        ready(bed, name, 2)
        await bed.settle()
        assert (served(bed)["phase"], served(bed)["ready"]) == ("Ready", "2/2")
        assert served(bed)["url"] == "http://api.team-a.svc"

    asyncio.run(life())


def test_a_deployment_waits_for_its_job_and_then_serves_what_it_made(bed: Bed) -> None:
    async def life() -> None:
        deploy(bed, model={"fineTuneJobRef": {"name": "reviews"}})
        await bed.settle()
        assert served(bed)["conditions"][1]["reason"] == "JobNotFound"
        bed.submit()
        await bed.settle()
        assert served(bed)["conditions"][1]["reason"] == "JobNotFinished"
        for job in ("reviews-prepare", "reviews-a1", "reviews-export"):
            bed.succeed(job)
            await bed.settle()
        assert served(bed)["phase"] == "Loading"
        (name,) = bed.cluster.of_kind("Deployment")
        config = bed.cluster.of_kind("ConfigMap")[name]["data"]["server.json"]
        assert "/tuneloop/claims/models/jobs/reviews/artifact" in config
        assert bed.status["artifact"]["digest"] in config

    asyncio.run(life())


def test_requests_go_to_the_old_revision_until_the_new_one_answers(bed: Bed) -> None:
    async def life() -> None:
        deploy(bed)
        await bed.settle()
        (old,) = bed.cluster.of_kind("Deployment")
        ready(bed, old)
        await bed.settle()
        change(bed, batching={"maxBatchSize": 1})
        await bed.settle()
        (new,) = set(bed.cluster.of_kind("Deployment")) - {old}
        assert served(bed)["phase"] == "Progressing"
        assert old.endswith(target(bed))
        ready(bed, new)
        await bed.settle()
        assert new.endswith(target(bed))
        assert served(bed)["phase"] == "Ready"
        for kind in ("Deployment", "ConfigMap"):
            assert set(bed.cluster.of_kind(kind)) == {new}
        assert set(bed.cluster.of_kind("Service")) == {"api", new}

    asyncio.run(life())


def test_more_replicas_are_the_same_revision(bed: Bed) -> None:
    async def life() -> None:
        deploy(bed)
        await bed.settle()
        (name,) = bed.cluster.of_kind("Deployment")
        change(bed, replicas=3)
        await bed.settle()
        assert list(bed.cluster.of_kind("Deployment")) == [name]
        assert bed.cluster.of_kind("Deployment")[name]["spec"]["replicas"] == 3

    asyncio.run(life())


def test_what_was_changed_or_deleted_by_hand_is_restored(bed: Bed) -> None:
    async def life() -> None:
        deploy(bed)
        await bed.settle()
        (name, stored) = next(iter(bed.cluster.of_kind("Deployment").items()))
        bed.cluster.change(stored, spec=stored["spec"] | {"replicas": 7})
        bed.cluster.remove(bed.cluster.of_kind("Service")["api"])
        await bed.settle()
        assert bed.cluster.of_kind("Deployment")[name]["spec"]["replicas"] == 1
        assert "api" in bed.cluster.of_kind("Service")

    asyncio.run(life())


def test_a_settled_deployment_costs_no_call(bed: Bed) -> None:
    async def life() -> None:
        deploy(bed)
        await bed.settle()
        ready(bed, next(iter(bed.cluster.of_kind("Deployment"))))
        await bed.settle()
        writes, reads = len(bed.cluster.writes), bed.cluster.reads
        bed.restart_operator()
        await bed.settle(later=3600)
        assert (len(bed.cluster.writes), bed.cluster.reads) == (writes, reads)

    asyncio.run(life())


def test_a_name_that_somebody_else_holds_is_never_taken(bed: Bed) -> None:
    async def life() -> None:
        metadata = {"name": "api", "namespace": "team-a"}
        theirs = {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": {"selector": {"app": "theirs"}}}
        bed.cluster.add(theirs)
        deploy(bed)
        await bed.settle()
        assert bed.cluster.of_kind("Service")["api"]["spec"] == theirs["spec"]
        (conflict,) = [one for one in served(bed)["conditions"] if one["type"] == "NameConflict"]
        assert "Service api is not ours" in conflict["message"]

    asyncio.run(life())
