"""Whole lives of a FineTuneJob: the operator on a cluster in memory, pods and Job controller played by hand."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from typing import Any

    Bed = Any


def run(life: Any) -> None:
    asyncio.run(life)


def test_a_job_goes_from_its_data_to_an_artifact(bed: Bed) -> None:
    async def life() -> None:
        bed.submit()
        await bed.settle()
        assert bed.jobs == {"reviews-prepare"}
        assert bed.status["phase"] == "Preparing"
        bed.succeed("reviews-prepare")
        await bed.settle()
        assert bed.jobs == {"reviews-prepare", "reviews-a1"}
        assert bed.status["phase"] == "Queued"
        assert bed.status["data"]["rows"] == 100
        bed.start_pods("reviews-a1")
        await bed.settle()
        assert (bed.status["phase"], bed.status["workers"]) == ("Running", "2/2")
        bed.succeed("reviews-a1")
        await bed.settle()
        assert bed.status["phase"] == "Exporting"
        bed.succeed("reviews-export")
        await bed.settle()
        assert bed.status["phase"] == "Succeeded"
        assert bed.status["progress"]["percent"] == "100%"
        assert bed.status["artifact"]["uri"] == "pvc://models/jobs/reviews/artifact"

    run(life())


def test_a_settled_job_costs_no_call(bed: Bed) -> None:
    async def life() -> None:
        bed.submit()
        await bed.settle()
        bed.start_pods("reviews-prepare")
        await bed.settle()
        writes, reads = len(bed.cluster.writes), bed.cluster.reads
        bed.restart_operator()
        await bed.settle()
        await bed.settle(later=3600)
        assert (len(bed.cluster.writes), bed.cluster.reads) == (writes, reads)

    run(life())


def test_what_a_stage_made_is_told_to_the_next_one(bed: Bed) -> None:
    async def life() -> None:
        bed.submit()
        await bed.settle()
        bed.succeed("reviews-prepare")
        await bed.settle()
        told = json.loads(bed.cluster.of_kind("ConfigMap")["reviews-a1"]["data"]["run.json"])
        assert told["prepareResult"] == {"path": "/tuneloop/claims/models/result.json", "sha256": "a" * 64}

    run(life())


def test_a_gang_that_came_and_went_while_no_operator_ran_is_shown_like_any_other(bed: Bed) -> None:
    async def life() -> None:
        await bed.prepare()
        stored = bed.job()
        unrecorded = {stage: child for stage, child in bed.status["children"].items() if stage != "train"}
        conditions = [one for one in bed.status["conditions"] if one["type"] != "PodsReady"]
        unseen = {"children": unrecorded | {"train": {"name": "reviews-a1"}}, "conditions": conditions}
        bed.cluster.watchers.clear()
        bed.cluster.change(stored, status=bed.status | unseen)
        bed.succeed("reviews-a1")
        bed.restart_operator()
        await bed.settle()
        (ready,) = [one for one in bed.status["conditions"] if one["type"] == "PodsReady"]
        assert (bed.status["phase"], ready["status"], ready["reason"]) == ("Exporting", "False", "NoAttemptRuns")

    run(life())


def test_a_failed_gang_is_started_again_as_a_new_attempt(bed: Bed) -> None:
    async def life() -> None:
        await bed.prepare()
        bed.fail("reviews-a1", exit_code=77)
        await bed.settle()
        assert "reviews-a2" in bed.jobs
        assert bed.status["restarts"]["failure"] == 1
        assert bed.status["failure"]["class"] == "Collective"
        assert bed.status["history"][0]["class"] == "Collective"

    run(life())


def test_the_next_attempt_waits_until_no_old_pod_can_run(bed: Bed) -> None:
    async def life() -> None:
        await bed.prepare()
        bed.start_pods("reviews-a1")
        bed.end_pod("reviews-a1-0", exit_code=72)
        bed.end_job("reviews-a1", "FailureTarget")
        await bed.settle()
        assert bed.status["phase"] == "Restarting"
        assert "reviews-a2" not in bed.jobs
        bed.end_pod("reviews-a1-1", exit_code=143)
        await bed.settle()
        assert "reviews-a2" in bed.jobs

    run(life())


def test_a_failure_that_would_come_again_ends_the_job(bed: Bed) -> None:
    async def life() -> None:
        await bed.prepare()
        said = {
            "version": 1,
            "stage": "train",
            "outcome": "Failed",
            "failureClass": "Config",
            "message": "no such layer",
        }
        bed.fail("reviews-a1", exit_code=78, message=said)
        await bed.settle()
        assert bed.status["phase"] == "Failed"
        assert bed.status["failure"]["message"] == "no such layer"
        assert bed.status["failure"]["retryable"] is False
        assert "reviews-a2" not in bed.jobs

    run(life())


def test_restarts_without_a_newer_checkpoint_come_to_an_end(bed: Bed) -> None:
    async def life() -> None:
        await bed.prepare(failurePolicy={"maxRestarts": 2})
        for attempt in (1, 2, 3):
            bed.fail(f"reviews-a{attempt}", exit_code=1, message="Segmentation fault")
            await bed.settle()
            await bed.settle(later=700)
        assert bed.status["phase"] == "Failed"
        assert "restarted 2 times without a newer checkpoint" in bed.status["failure"]["message"]
        assert bed.status["failure"]["lastLines"] == ["Segmentation fault"]

    run(life())


def test_a_prepare_that_may_succeed_the_next_time_is_run_again(bed: Bed) -> None:
    async def life() -> None:
        bed.submit()
        await bed.settle()
        first = bed.cluster.of_kind("Job")["reviews-prepare"]["metadata"]["uid"]
        bed.fail("reviews-prepare", exit_code=74)
        await bed.settle()
        second = bed.cluster.of_kind("Job")["reviews-prepare"]["metadata"]["uid"]
        assert second != first
        assert bed.status["restarts"]["total"] == 1
        bed.succeed("reviews-prepare")
        await bed.settle()
        assert bed.status["attempt"] == 1

    run(life())


@pytest.mark.parametrize(
    "said",
    [
        pytest.param("", id="nothing"),
        pytest.param("hello", id="something else"),
        pytest.param({"version": 1, "stage": "prepare", "outcome": "Succeeded"}, id="nothing that it made"),
    ],
)
def test_a_stage_that_succeeds_without_saying_what_it_made_comes_to_an_end(said: Any, bed: Bed) -> None:
    async def life() -> None:
        bed.submit(failurePolicy={"maxRestarts": 1})
        await bed.settle()
        for _ in range(2):
            bed.start_pods("reviews-prepare")
            bed.end_pod("reviews-prepare-0", exit_code=0, message=said)
            bed.end_job("reviews-prepare", "Complete")
            await bed.settle(later=60)
        assert bed.status["phase"] == "Failed"
        assert "did not say in a readable way what it made" in bed.status["failure"]["message"]

    run(life())


def test_what_no_status_can_hold_does_not_hold_up_the_job(bed: Bed) -> None:
    async def life() -> None:
        await bed.prepare(failurePolicy={"maxRestarts": 0})
        bed.start_pods("reviews-a1")
        saved = {"step": 1, "path": "/p", "metric": "x" * 300, "value": 1.0}
        summary = {"startStep": 0, "steps": 1, "worldSize": 2, "last": saved}
        result = {"path": "/p", "sha256": "a"}
        said = {"version": 1, "stage": "train", "outcome": "Succeeded", "result": result, "train": summary}
        for index in (0, 1):
            bed.end_pod(f"reviews-a1-{index}", exit_code=0, message=said)
        bed.end_job("reviews-a1", "Complete")
        await bed.settle()
        assert bed.status["phase"] == "Failed"

    run(life())


def test_a_job_deleted_by_hand_is_a_disruption(bed: Bed) -> None:
    async def life() -> None:
        await bed.prepare()
        bed.cluster.remove(bed.cluster.of_kind("Job")["reviews-a1"])
        await bed.settle()
        assert "reviews-a1" not in bed.jobs
        assert "reviews-a2" in bed.jobs
        assert bed.status["restarts"]["disruption"] == 1

    run(life())


def test_a_pod_that_only_bears_our_label_holds_nothing_up(bed: Bed) -> None:
    async def life() -> None:
        await bed.prepare()
        for number, labels in enumerate(({}, {"tuneloop.dev/stage": "train", "tuneloop.dev/attempt": "x"})):
            metadata = {"name": f"p{number}", "namespace": "team-a", "labels": {"tuneloop.dev/job": "reviews"} | labels}
            bed.cluster.add({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "status": {"phase": "Running"}})
        bed.fail("reviews-a1", exit_code=77)
        await bed.settle()
        assert "reviews-a2" in bed.jobs

    run(life())


def test_a_gang_whose_first_pod_is_done_is_still_running(bed: Bed) -> None:
    async def life() -> None:
        await bed.prepare()
        bed.start_pods("reviews-a1")
        await bed.settle()
        before = len(bed.cluster.writes)
        bed.end_pod("reviews-a1-1", exit_code=0)
        await bed.settle()
        assert (bed.status["phase"], bed.status["workers"]) == ("Running", "2/2")
        assert len(bed.cluster.writes) == before

    run(life())


def test_a_pod_whose_container_is_done_counts_before_the_kubelet_says_that_it_succeeded(bed: Bed) -> None:
    async def life() -> None:
        await bed.prepare()
        bed.start_pods("reviews-a1")
        await bed.settle()
        for index in (1, 0):  # readiness goes first, the phase follows once the pod's sandbox is gone
            pod = bed.cluster.objects["Pod", "team-a", f"reviews-a1-{index}"]
            ended = {"state": {"terminated": {"exitCode": 0, "finishedAt": bed.stamp()}}}
            conditions = [{"type": "Ready", "status": "False", "reason": "PodCompleted"}]
            status = {"phase": "Running", "conditions": conditions, "containerStatuses": [ended]}
            bed.cluster.change(pod, status=status)
            await bed.settle()
            assert (bed.status["phase"], bed.status["workers"]) == ("Running", "2/2")

    run(life())
