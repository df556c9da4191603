"""Clocks that end a job: it does not start, it has run long enough, it has cost enough, it is over for long enough."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from tuneloop_api.contract.progress import ProgressMessage

if TYPE_CHECKING:
    from conftest import Bed

pytestmark = pytest.mark.anyio
ON_GPUS = {"nodes": 2, "gpusPerNode": 4}


def condition(status: dict[str, Any], type_: str) -> dict[str, Any]:
    return next((one for one in status.get("conditions", ()) if one["type"] == type_), {})


def hold_up(bed: Bed, job: str, **pod_status: Any) -> None:
    """Let the pods of a Job exist, but not run."""
    bed.start_pods(job)
    for name, pod in bed.cluster.of_kind("Pod").items():
        if name.startswith(f"{job}-"):
            bed.cluster.change(pod, spec={}, status={"phase": "Pending"} | pod_status)


NO_ROOM = {"conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1 nodes are available"}]}  # fmt: skip
NO_IMAGE = {"containerStatuses": [{"state": {"waiting": {"reason": "ImagePullBackOff", "message": "no such tag"}}}]}


@pytest.mark.parametrize(
    ("pod_status", "kind", "words"),
    [
        pytest.param(NO_ROOM, "StartDeadline", "found no node: 0/1 nodes are available", id="no room"),
        pytest.param(NO_IMAGE, "ImagePull", "ImagePullBackOff: no such tag", id="no image"),
    ],
)
async def test_a_gang_that_does_not_start_in_time_fails_with_the_clusters_own_words(
    bed: Bed, pod_status: dict[str, Any], kind: str, words: str
) -> None:
    await bed.prepare(failurePolicy={"startDeadline": "5m"})
    hold_up(bed, "reviews-a1", **pod_status)
    await bed.settle(later=299)
    assert bed.status["phase"] == "Queued"
    await bed.settle(later=2)
    assert (bed.status["phase"], bed.status["failure"]["class"]) == ("Failed", kind)
    assert words in bed.status["failure"]["message"]
    assert "reviews-a1" not in bed.jobs


async def test_pods_that_the_api_server_refuses_are_told_of_soon_and_end_the_job_later(bed: Bed) -> None:
    await bed.prepare()
    gang = bed.cluster.of_kind("Job")["reviews-a1"]
    bed.cluster.refused_pods[gang["metadata"]["uid"]] = "pods is forbidden: exceeded quota: none"
    await bed.settle(later=11)
    assert condition(bed.status, "PodsReady")["reason"] == "PodsRefused"
    assert "exceeded quota" in condition(bed.status, "PodsReady")["message"]
    await bed.settle(later=1800)
    assert bed.status["failure"]["class"] == "StartDeadline"
    assert "exceeded quota: none" in bed.status["failure"]["message"]


async def test_a_queue_does_not_use_up_the_time_to_start(bed: Bed) -> None:
    await bed.prepare(failurePolicy={"startDeadline": "5m"})
    gang = bed.cluster.of_kind("Job")["reviews-a1"]
    bed.cluster.change(gang, spec=gang["spec"] | {"suspend": True})
    await bed.settle(later=3600)
    assert bed.status["phase"] == "Queued"
    bed.cluster.change(gang, spec=gang["spec"] | {"suspend": False}, status={"startTime": bed.stamp()})
    hold_up(bed, "reviews-a1", **NO_ROOM)
    await bed.settle(later=299)
    assert bed.status["phase"] == "Queued"
    await bed.settle(later=2)
    assert bed.status["phase"] == "Failed"


async def test_only_running_time_counts_against_the_active_deadline(bed: Bed) -> None:
    await bed.prepare(activeDeadlineSeconds=600)
    await bed.settle(later=1000)  # without pods
    bed.start_pods("reviews-a1")
    await bed.settle()
    await bed.settle(later=400)
    for index in range(2):
        bed.end_pod(f"reviews-a1-{index}", exit_code=75)
    bed.end_job("reviews-a1", "FailureTarget")
    await bed.settle()
    assert bed.status["usage"]["activeSeconds"] == 400
    bed.start_pods("reviews-a2")
    await bed.settle()
    await bed.settle(later=199)
    assert bed.status["phase"] == "Running"
    await bed.settle(later=2)
    assert (bed.status["phase"], bed.status["failure"]["class"]) == ("Failed", "DeadlineExceeded")
    assert "reviews-a2" not in bed.jobs


async def test_a_night_in_which_the_machine_was_off_is_no_running_time(bed: Bed) -> None:
    await bed.train()
    message = ProgressMessage(
        stage="train",
        attempt=1,
        sequence=1,
        sent_at=(bed.now + timedelta(seconds=300)).isoformat(),
        start_step=0,
        step=9,
    )
    assert bed.operator.progress("team-a", "reviews", message)
    await bed.settle(later=301)
    await bed.settle(later=15 * 3600)
    for index in range(2):
        pod = bed.cluster.of_kind("Pod")[f"reviews-a1-{index}"]
        bed.cluster.change(pod, status={"phase": "Failed", "reason": "NodeLost"})
    bed.end_job("reviews-a1", "FailureTarget")
    await bed.settle()
    assert bed.status["failure"]["class"] == "NodeLost"
    assert bed.status["usage"]["activeSeconds"] == 300


async def test_a_clock_that_is_set_back_makes_no_delay_longer(bed: Bed) -> None:
    await bed.train()
    for attempt in (1, 2):
        bed.fail(f"reviews-a{attempt}", exit_code=75)
        await bed.settle()
    assert "reviews-a3" not in bed.jobs
    bed.now -= timedelta(hours=2)
    bed.cluster.change(bed.job(), metadata=bed.job()["metadata"] | {"labels": {"looked-at": "again"}})
    await bed.settle()
    assert "reviews-a3" in bed.jobs


async def test_a_job_that_has_used_its_gpu_hours_fails_and_says_what_it_used(bed: Bed) -> None:
    await bed.prepare(resources=ON_GPUS, budget={"maxGpuHours": 2})
    bed.start_pods("reviews-a1")
    await bed.settle()
    await bed.settle(later=899)
    assert bed.status["phase"] == "Running"
    await bed.settle(later=2)
    assert bed.status["failure"]["class"] == "BudgetExceeded"
    assert bed.status["usage"]["gpuSeconds"] == 8 * 901


async def test_a_job_that_is_over_is_deleted_after_its_time_to_live(bed: Bed) -> None:
    await bed.train()
    job = bed.job()
    bed.cluster.change(job, spec=job["spec"] | {"ttlSecondsAfterFinished": 60})
    bed.succeed("reviews-a1")
    await bed.settle()
    bed.succeed("reviews-export")
    await bed.settle()
    await bed.settle(later=59)
    assert bed.status["phase"] == "Succeeded"
    await bed.settle(later=2)
    assert not bed.cluster.objects


async def test_a_dry_run_ends_after_its_preparation(bed: Bed) -> None:
    await bed.prepare(preflight={"dryRun": True})
    assert bed.status["phase"] == "Succeeded"
    assert condition(bed.status, "Complete")["reason"] == "DryRun"
    assert bed.jobs == {"reviews-prepare"}
