"""Which revision of a ModelDeployment is served, and when another one goes."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

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


def test_the_old_servers_stay_until_the_new_ones_answer(bed: Bed) -> None:
    async def life() -> None:
        deploy(bed)
        await bed.settle()
        (old,) = bed.cluster.of_kind("Deployment")
        bed.cluster.change(bed.cluster.of_kind("Deployment")[old], status={"readyReplicas": 1})
        await bed.settle()
        change(bed, batching={"maxBatchSize": 1})
        for _ in range(3):
            await bed.settle(later=60)
        (new,) = set(bed.cluster.of_kind("Deployment")) - {old}
        assert old in bed.cluster.of_kind("Deployment")
        assert {old, new} <= set(bed.cluster.of_kind("Service"))

    asyncio.run(life())


@pytest.mark.parametrize(
    ("condition", "reason"),
    [("Failed", "JobFailed"), ("Prepared", "JobNotFinished"), ("Complete", "ArtifactFound")],
)
def test_the_artifact_of_a_job_is_served_only_if_the_job_is_complete(bed: Bed, condition: str, reason: str) -> None:
    async def life() -> None:
        deploy(bed, model={"fineTuneJobRef": {"name": "reviews"}})
        bed.submit(suspend=True)
        told = {"type": condition, "status": "True", "reason": "Told", "message": "", "lastTransitionTime": bed.stamp()}
        artifact = {"uri": "pvc://models/a", "digest": "sha256:" + "b" * 64, "sizeBytes": 1, "formats": ["safetensors"]}
        bed.cluster.change(bed.job(), status={"artifact": artifact, "conditions": [told]})
        await bed.settle()
        (available,) = [found for found in served(bed)["conditions"] if found["type"] == "ModelAvailable"]
        assert available["reason"] == reason

    asyncio.run(life())


def test_a_deployment_of_no_replicas_is_ready_and_follows_its_spec(bed: Bed) -> None:
    async def life() -> None:
        deploy(bed, replicas=0)
        await bed.settle()
        assert (served(bed)["phase"], served(bed)["ready"]) == ("Ready", "0/0")
        first = served(bed)["stable"]["revision"]
        change(bed, batching={"maxBatchSize": 1})
        await bed.settle()
        assert served(bed)["stable"]["revision"] != first
        assert len(bed.cluster.of_kind("Deployment")) == 1

    asyncio.run(life())


@pytest.mark.parametrize(
    ("type_", "status", "is_trouble"),
    [
        ("Available", "False", False),
        ("Progressing", "True", False),
        ("Progressing", "False", True),
        ("ReplicaFailure", "True", True),
        ("ReplicaFailure", "False", False),
    ],
)
def test_what_kubernetes_says_is_wrong_with_the_servers_is_told(
    bed: Bed, type_: str, status: str, is_trouble: bool
) -> None:
    async def life() -> None:
        deploy(bed)
        await bed.settle()
        (stored,) = bed.cluster.of_kind("Deployment").values()
        told = {"type": type_, "status": status, "reason": "Why", "message": "quota"}
        bed.cluster.change(stored, status={"conditions": [told]})
        await bed.settle()
        (ready,) = [found for found in served(bed)["conditions"] if found["type"] == "Ready"]
        assert (ready["message"] == "Why: quota") is is_trouble

    asyncio.run(life())
