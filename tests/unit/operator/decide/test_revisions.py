"""Which revision of a ModelDeployment is served, and when another one goes."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
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


def test_the_old_servers_stay_until_the_new_ones_answer(harness: OperatorHarness) -> None:
    async def life() -> None:
        deploy(harness)
        await harness.settle()
        (old,) = harness.cluster.of_kind("Deployment")
        harness.cluster.change(harness.cluster.of_kind("Deployment")[old], status={"readyReplicas": 1})
        await harness.settle()
        change(harness, batching={"maxBatchSize": 1})
        for _ in range(3):
            await harness.settle(later=60)
        (new,) = set(harness.cluster.of_kind("Deployment")) - {old}
        assert old in harness.cluster.of_kind("Deployment")
        assert {old, new} <= set(harness.cluster.of_kind("Service"))

    asyncio.run(life())


@pytest.mark.parametrize(
    ("condition", "reason"),
    [("Failed", "JobFailed"), ("Prepared", "JobNotFinished"), ("Complete", "ArtifactFound")],
)
def test_the_artifact_of_a_job_is_served_only_if_the_job_is_complete(
    harness: OperatorHarness, condition: str, reason: str
) -> None:
    async def life() -> None:
        deploy(harness, model={"fineTuneJobRef": {"name": "reviews"}})
        harness.submit(suspend=True)
        stored = {
            "type": condition,
            "status": "True",
            "reason": "Reported",
            "message": "",
            "lastTransitionTime": harness.stamp(),
        }
        artifact = {"uri": "pvc://models/a", "digest": "sha256:" + "b" * 64, "sizeBytes": 1, "formats": ["safetensors"]}
        harness.cluster.change(harness.job(), status={"artifact": artifact, "conditions": [stored]})
        await harness.settle()
        (available,) = [found for found in served(harness)["conditions"] if found["type"] == "ModelAvailable"]
        assert available["reason"] == reason

    asyncio.run(life())


def test_a_deployment_of_no_replicas_is_ready_and_follows_its_spec(harness: OperatorHarness) -> None:
    async def life() -> None:
        deploy(harness, replicas=0)
        await harness.settle()
        assert (served(harness)["phase"], served(harness)["ready"]) == ("Ready", "0/0")
        first = served(harness)["stable"]["revision"]
        change(harness, batching={"maxBatchSize": 1})
        await harness.settle()
        assert served(harness)["stable"]["revision"] != first
        assert len(harness.cluster.of_kind("Deployment")) == 1

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
def test_what_kubernetes_says_is_wrong_with_the_servers_is_reported(
    harness: OperatorHarness, type_: str, status: str, is_trouble: bool
) -> None:
    async def life() -> None:
        deploy(harness)
        await harness.settle()
        (stored,) = harness.cluster.of_kind("Deployment").values()
        condition = {"type": type_, "status": status, "reason": "Why", "message": "quota"}
        harness.cluster.change(stored, status={"conditions": [condition]})
        await harness.settle()
        (ready,) = [found for found in served(harness)["conditions"] if found["type"] == "Ready"]
        assert (ready["message"] == "Why: quota") is is_trouble

    asyncio.run(life())
