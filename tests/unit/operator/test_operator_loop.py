"""Whole lives of a FineTuneJob: the operator on a cluster in memory, pods and Job controller played by hand."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import pytest
from operator_harness import OperatorHarness

if TYPE_CHECKING:
    from typing import Any


def test_a_job_goes_from_its_data_to_an_artifact(harness: OperatorHarness) -> None:
    async def life() -> None:
        harness.submit()
        await harness.settle()
        assert harness.jobs == {"reviews-prepare"}
        assert harness.status["phase"] == "Preparing"
        harness.succeed("reviews-prepare")
        await harness.settle()
        assert harness.jobs == {"reviews-prepare", "reviews-a1"}
        assert harness.status["phase"] == "Queued"
        assert harness.status["data"]["rows"] == 100
        harness.start_pods("reviews-a1")
        await harness.settle()
        assert (harness.status["phase"], harness.status["workers"]) == ("Running", "2/2")
        harness.succeed("reviews-a1")
        await harness.settle()
        assert harness.status["phase"] == "Exporting"
        harness.succeed("reviews-export")
        await harness.settle()
        assert harness.status["phase"] == "Succeeded"
        assert harness.status["progress"]["percent"] == "100%"
        assert harness.status["artifact"]["uri"] == "pvc://models/jobs/reviews/artifact"

    asyncio.run(life())


def test_a_job_in_which_nothing_is_left_to_do_costs_no_call(harness: OperatorHarness) -> None:
    async def life() -> None:
        harness.submit()
        await harness.settle()
        harness.start_pods("reviews-prepare")
        await harness.settle()
        writes, reads = len(harness.cluster.writes), harness.cluster.reads
        harness.restart_operator()
        await harness.settle()
        await harness.settle(later=3600)
        assert (len(harness.cluster.writes), harness.cluster.reads) == (writes, reads)

    asyncio.run(life())


def test_an_operator_that_ends_again_and_again_touches_no_gang_and_misses_nothing(harness: OperatorHarness) -> None:
    async def life() -> None:
        await harness.prepare()
        harness.start_pods("reviews-a1")
        await harness.settle()
        objects, writes = dict(harness.cluster.objects), len(harness.cluster.writes)
        for _ in range(5):
            harness.restart_operator()
            await harness.settle(later=60)
        assert (harness.cluster.objects, len(harness.cluster.writes)) == (objects, writes)
        harness.cluster.watchers.clear()  # it is away
        harness.succeed("reviews-a1")
        harness.restart_operator()
        await harness.settle()
        assert harness.status["phase"] == "Exporting"
        assert harness.status.get("restarts") is None

    asyncio.run(life())


def test_the_result_of_a_stage_is_in_the_run_config_of_the_next(harness: OperatorHarness) -> None:
    async def life() -> None:
        harness.submit()
        await harness.settle()
        harness.succeed("reviews-prepare")
        await harness.settle()
        config = json.loads(harness.cluster.of_kind("ConfigMap")["reviews-a1"]["data"]["run.json"])
        assert config["prepareResult"] == {"path": "/tuneloop/claims/models/result.json", "sha256": "a" * 64}

    asyncio.run(life())


def test_a_gang_that_came_and_went_while_no_operator_ran_is_shown_like_any_other(harness: OperatorHarness) -> None:
    async def life() -> None:
        await harness.prepare()
        stored = harness.job()
        unrecorded = {stage: child for stage, child in harness.status["children"].items() if stage != "train"}
        conditions = [found for found in harness.status["conditions"] if found["type"] != "PodsReady"]
        unseen = {"children": unrecorded | {"train": {"name": "reviews-a1"}}, "conditions": conditions}
        harness.cluster.watchers.clear()
        harness.cluster.change(stored, status=harness.status | unseen)
        harness.succeed("reviews-a1")
        harness.restart_operator()
        await harness.settle()
        (ready,) = [found for found in harness.status["conditions"] if found["type"] == "PodsReady"]
        assert (harness.status["phase"], ready["status"], ready["reason"]) == ("Exporting", "False", "NoAttemptRuns")

    asyncio.run(life())


def test_a_failed_gang_is_started_again_as_a_new_attempt(harness: OperatorHarness) -> None:
    async def life() -> None:
        await harness.prepare()
        harness.fail("reviews-a1", exit_code=77)
        await harness.settle()
        assert "reviews-a2" in harness.jobs
        assert harness.status["restarts"]["failure"] == 1
        assert harness.status["failure"]["class"] == "Collective"
        assert harness.status["history"][0]["class"] == "Collective"

    asyncio.run(life())


def test_the_next_attempt_waits_until_no_old_pod_can_run(harness: OperatorHarness) -> None:
    async def life() -> None:
        await harness.prepare()
        harness.start_pods("reviews-a1")
        harness.end_pod("reviews-a1-0", exit_code=72)
        harness.end_job("reviews-a1", "FailureTarget")
        await harness.settle()
        assert harness.status["phase"] == "Restarting"
        assert "reviews-a2" not in harness.jobs
        harness.end_pod("reviews-a1-1", exit_code=143)
        await harness.settle()
        assert "reviews-a2" in harness.jobs

    asyncio.run(life())


def test_a_failure_that_would_come_again_ends_the_job(harness: OperatorHarness) -> None:
    async def life() -> None:
        await harness.prepare()
        message = {
            "version": 1,
            "stage": "train",
            "outcome": "Failed",
            "failureClass": "Config",
            "message": "no such layer",
        }
        harness.fail("reviews-a1", exit_code=78, message=message)
        await harness.settle()
        assert harness.status["phase"] == "Failed"
        assert harness.status["failure"]["message"] == "no such layer"
        assert harness.status["failure"]["retryable"] is False
        assert "reviews-a2" not in harness.jobs

    asyncio.run(life())


def test_restarts_without_a_newer_checkpoint_come_to_an_end(harness: OperatorHarness) -> None:
    async def life() -> None:
        await harness.prepare(failurePolicy={"maxRestarts": 2})
        for attempt in (1, 2, 3):
            harness.fail(f"reviews-a{attempt}", exit_code=1, message="Segmentation fault")
            await harness.settle()
            await harness.settle(later=700)
        assert harness.status["phase"] == "Failed"
        assert "restarted 2 times without a newer checkpoint" in harness.status["failure"]["message"]
        assert harness.status["failure"]["lastLines"] == ["Segmentation fault"]

    asyncio.run(life())


def test_a_prepare_that_may_succeed_the_next_time_is_run_again(harness: OperatorHarness) -> None:
    async def life() -> None:
        harness.submit()
        await harness.settle()
        first = harness.cluster.of_kind("Job")["reviews-prepare"]["metadata"]["uid"]
        harness.fail("reviews-prepare", exit_code=74)
        await harness.settle()
        second = harness.cluster.of_kind("Job")["reviews-prepare"]["metadata"]["uid"]
        assert second != first
        assert harness.status["restarts"]["total"] == 1
        harness.succeed("reviews-prepare")
        await harness.settle()
        assert harness.status["attempt"] == 1

    asyncio.run(life())


@pytest.mark.parametrize(
    "message",
    [
        pytest.param("", id="nothing"),
        pytest.param("hello", id="something else"),
        pytest.param({"version": 1, "stage": "prepare", "outcome": "Succeeded"}, id="no result"),
    ],
)
def test_a_stage_that_succeeds_without_a_result_comes_to_an_end(message: Any, harness: OperatorHarness) -> None:
    async def life() -> None:
        harness.submit(failurePolicy={"maxRestarts": 1})
        await harness.settle()
        for _ in range(2):
            harness.start_pods("reviews-prepare")
            harness.end_pod("reviews-prepare-0", exit_code=0, message=message)
            harness.end_job("reviews-prepare", "Complete")
            await harness.settle(later=60)
        assert harness.status["phase"] == "Failed"
        assert "wrote no result that can be read" in harness.status["failure"]["message"]

    asyncio.run(life())


def test_a_result_that_does_not_fit_into_a_status_fails_the_job(harness: OperatorHarness) -> None:
    async def life() -> None:
        await harness.prepare(failurePolicy={"maxRestarts": 0})
        harness.start_pods("reviews-a1")
        saved = {"step": 1, "path": "/" * 5000}
        summary = {"startStep": 0, "steps": 1, "worldSize": 2, "last": saved}
        result = {"path": "/p", "sha256": "a"}
        message = {"version": 1, "stage": "train", "outcome": "Succeeded", "result": result, "train": summary}
        for index in (0, 1):
            harness.end_pod(f"reviews-a1-{index}", exit_code=0, message=message)
        harness.end_job("reviews-a1", "Complete")
        await harness.settle()
        assert harness.status["phase"] == "Failed"

    asyncio.run(life())


def test_a_job_deleted_by_hand_is_a_disruption(harness: OperatorHarness) -> None:
    async def life() -> None:
        await harness.prepare()
        harness.cluster.remove(harness.cluster.of_kind("Job")["reviews-a1"])
        await harness.settle()
        assert "reviews-a1" not in harness.jobs
        assert "reviews-a2" in harness.jobs
        assert harness.status["restarts"]["disruption"] == 1

    asyncio.run(life())


def test_a_pod_that_only_bears_our_label_holds_nothing_up(harness: OperatorHarness) -> None:
    async def life() -> None:
        await harness.prepare()
        for number, labels in enumerate(({}, {"tuneloop.dev/stage": "train", "tuneloop.dev/attempt": "x"})):
            metadata = {"name": f"p{number}", "namespace": "team-a", "labels": {"tuneloop.dev/job": "reviews"} | labels}
            harness.cluster.add(
                {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "status": {"phase": "Running"}}
            )
        harness.fail("reviews-a1", exit_code=77)
        await harness.settle()
        assert "reviews-a2" in harness.jobs

    asyncio.run(life())


def test_a_gang_whose_first_pod_is_done_is_still_running(harness: OperatorHarness) -> None:
    async def life() -> None:
        await harness.prepare()
        harness.start_pods("reviews-a1")
        await harness.settle()
        before = len(harness.cluster.writes)
        harness.end_pod("reviews-a1-1", exit_code=0)
        await harness.settle()
        assert (harness.status["phase"], harness.status["workers"]) == ("Running", "2/2")
        assert len(harness.cluster.writes) == before

    asyncio.run(life())


def test_a_pod_whose_container_is_done_counts_before_the_kubelet_says_that_it_succeeded(
    harness: OperatorHarness,
) -> None:
    async def life() -> None:
        await harness.prepare()
        harness.start_pods("reviews-a1")
        await harness.settle()
        for index in (1, 0):  # readiness goes first, the phase follows once the pod's sandbox is gone
            pod = harness.cluster.objects["Pod", "team-a", f"reviews-a1-{index}"]
            ended = {"state": {"terminated": {"exitCode": 0, "finishedAt": harness.stamp()}}}
            conditions = [{"type": "Ready", "status": "False", "reason": "PodCompleted"}]
            status = {"phase": "Running", "conditions": conditions, "containerStatuses": [ended]}
            harness.cluster.change(pod, status=status)
            await harness.settle()
            assert (harness.status["phase"], harness.status["workers"]) == ("Running", "2/2")

    asyncio.run(life())
