"""Deadlines: to start, of running time, of GPU hours, and the time to live of a finished job."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from tuneloop_api.contract.progress import ProgressMessage

if TYPE_CHECKING:
    from operator_harness import OperatorHarness

ON_GPUS = {"nodes": 2, "gpusPerNode": 4}


def condition(status: dict[str, Any], type_: str) -> dict[str, Any]:
    return next((found for found in status.get("conditions", ()) if found["type"] == type_), {})


def hold_up(harness: OperatorHarness, job: str, **pod_status: Any) -> None:
    """Let the pods of a Job exist, but not run."""
    harness.start_pods(job)
    for name, pod in harness.cluster.of_kind("Pod").items():
        if name.startswith(f"{job}-"):
            harness.cluster.change(pod, spec={}, status={"phase": "Pending"} | pod_status)


NO_ROOM = {"conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1 nodes are available"}]}  # fmt: skip
NO_IMAGE = {"containerStatuses": [{"state": {"waiting": {"reason": "ImagePullBackOff", "message": "no such tag"}}}]}


@pytest.mark.parametrize(
    ("pod_status", "kind", "words"),
    [
        pytest.param(NO_ROOM, "StartDeadline", "found no node: 0/1 nodes are available", id="no room"),
        pytest.param(NO_IMAGE, "ImagePull", "ImagePullBackOff: no such tag", id="no image"),
    ],
)
def test_a_gang_that_does_not_start_in_time_fails_with_the_message_of_the_cluster(
    harness: OperatorHarness, pod_status: dict[str, Any], kind: str, words: str
) -> None:
    async def life() -> None:
        await harness.prepare(failurePolicy={"startDeadline": "5m"})
        hold_up(harness, "reviews-a1", **pod_status)
        await harness.settle(later=299)
        assert harness.status["phase"] == "Queued"
        await harness.settle(later=2)
        assert (harness.status["phase"], harness.status["failure"]["class"]) == ("Failed", kind)
        assert words in harness.status["failure"]["message"]
        assert "reviews-a1" not in harness.jobs

    asyncio.run(life())


def test_refused_pods_are_reported_soon_and_end_the_job_later(
    harness: OperatorHarness,
) -> None:
    async def life() -> None:
        await harness.prepare()
        gang = harness.cluster.of_kind("Job")["reviews-a1"]
        harness.cluster.refused_pods[gang["metadata"]["uid"]] = "pods is forbidden: exceeded quota: none"
        await harness.settle(later=11)
        assert condition(harness.status, "PodsReady")["reason"] == "PodsRefused"
        assert "exceeded quota" in condition(harness.status, "PodsReady")["message"]
        await harness.settle(later=1800)
        assert harness.status["failure"]["class"] == "StartDeadline"
        assert "exceeded quota: none" in harness.status["failure"]["message"]

    asyncio.run(life())


def test_a_queue_does_not_use_up_the_time_to_start(harness: OperatorHarness) -> None:
    async def life() -> None:
        await harness.prepare(failurePolicy={"startDeadline": "5m"})
        gang = harness.cluster.of_kind("Job")["reviews-a1"]
        harness.cluster.change(gang, spec=gang["spec"] | {"suspend": True})
        await harness.settle(later=3600)
        assert harness.status["phase"] == "Queued"
        harness.cluster.change(gang, spec=gang["spec"] | {"suspend": False}, status={"startTime": harness.stamp()})
        hold_up(harness, "reviews-a1", **NO_ROOM)
        await harness.settle(later=299)
        assert harness.status["phase"] == "Queued"
        await harness.settle(later=2)
        assert harness.status["phase"] == "Failed"

    asyncio.run(life())


def test_only_running_time_counts_against_the_active_deadline(harness: OperatorHarness) -> None:
    async def life() -> None:
        await harness.prepare(activeDeadlineSeconds=600)
        await harness.settle(later=1000)  # without pods
        harness.start_pods("reviews-a1")
        await harness.settle()
        await harness.settle(later=400)
        for index in range(2):
            harness.end_pod(f"reviews-a1-{index}", exit_code=75)
        harness.end_job("reviews-a1", "FailureTarget")
        await harness.settle()
        assert harness.status["usage"]["activeSeconds"] == 400
        harness.start_pods("reviews-a2")
        await harness.settle()
        await harness.settle(later=199)
        assert harness.status["phase"] == "Running"
        await harness.settle(later=2)
        assert (harness.status["phase"], harness.status["failure"]["class"]) == ("Failed", "DeadlineExceeded")
        assert "reviews-a2" not in harness.jobs

    asyncio.run(life())


def test_a_night_in_which_the_machine_was_off_is_no_running_time(harness: OperatorHarness) -> None:
    async def life() -> None:
        await harness.train()
        message = ProgressMessage(
            stage="train",
            attempt=1,
            sequence=1,
            sent_at=(harness.now + timedelta(seconds=300)).isoformat(),
            start_step=0,
            step=9,
        )
        assert harness.operator.progress("team-a", "reviews", message)
        await harness.settle(later=301)
        await harness.settle(later=15 * 3600)
        for index in range(2):
            pod = harness.cluster.of_kind("Pod")[f"reviews-a1-{index}"]
            harness.cluster.change(pod, status={"phase": "Failed", "reason": "NodeLost"})
        harness.end_job("reviews-a1", "FailureTarget")
        await harness.settle()
        assert harness.status["failure"]["class"] == "NodeLost"
        assert harness.status["usage"]["activeSeconds"] == 300

    asyncio.run(life())


def test_a_clock_that_is_set_back_makes_no_delay_longer(harness: OperatorHarness) -> None:
    async def life() -> None:
        await harness.train()
        for attempt in (1, 2):
            harness.fail(f"reviews-a{attempt}", exit_code=75)
            await harness.settle()
        assert "reviews-a3" not in harness.jobs
        harness.now -= timedelta(hours=2)
        harness.cluster.change(harness.job(), metadata=harness.job()["metadata"] | {"labels": {"looked-at": "again"}})
        await harness.settle()
        assert "reviews-a3" in harness.jobs

    asyncio.run(life())


def test_a_job_that_has_used_its_gpu_hours_fails_and_says_what_it_used(harness: OperatorHarness) -> None:
    async def life() -> None:
        await harness.prepare(resources=ON_GPUS, budget={"maxGpuHours": 2})
        harness.start_pods("reviews-a1")
        await harness.settle()
        await harness.settle(later=899)
        assert harness.status["phase"] == "Running"
        await harness.settle(later=2)
        assert harness.status["failure"]["class"] == "BudgetExceeded"
        assert harness.status["usage"]["gpuSeconds"] == 8 * 901

    asyncio.run(life())


def test_a_job_that_is_over_is_deleted_after_its_time_to_live(harness: OperatorHarness) -> None:
    async def life() -> None:
        await harness.train()
        job = harness.job()
        harness.cluster.change(job, spec=job["spec"] | {"ttlSecondsAfterFinished": 60})
        harness.succeed("reviews-a1")
        await harness.settle()
        harness.succeed("reviews-export")
        await harness.settle()
        await harness.settle(later=59)
        assert harness.status["phase"] == "Succeeded"
        await harness.settle(later=2)
        assert not harness.cluster.objects

    asyncio.run(life())


def test_a_dry_run_ends_after_its_preparation(harness: OperatorHarness) -> None:
    async def life() -> None:
        await harness.prepare(preflight={"dryRun": True})
        assert (harness.status["phase"], harness.status["progress"]["percent"]) == ("Succeeded", "100%")
        assert condition(harness.status, "Complete")["reason"] == "DryRun"
        assert harness.jobs == {"reviews-prepare"}

    asyncio.run(life())
