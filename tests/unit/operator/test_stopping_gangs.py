"""The pods of a suspended gang stop some time after their Job is suspended, by the user or by a queue. Their usage is counted once."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from operator_harness import OperatorHarness


PODS = ("reviews-a1-0", "reviews-a1-1")
SAVED = {"step": 155, "path": "/tuneloop/claims/models/step-155"}
TRAIN = {"startStep": 0, "steps": 155, "worldSize": 2, "last": SAVED, "stepSeconds": 62.0}
TERMINATION_MESSAGE = {
    "version": 1,
    "stage": "train",
    "outcome": "Preempted",
    "failureClass": "Preempted",
    "train": TRAIN,
}


def suspend_by_queue(harness: OperatorHarness, *, grace: int = 300) -> None:
    """Suspend the gang's Job as a queue does; its pods have their grace period to stop."""
    stored = harness.cluster.of_kind("Job")["reviews-a1"]
    harness.cluster.change(stored, spec=stored["spec"] | {"suspend": True}, status={})
    ask_to_stop(harness, grace=grace)


async def suspended_by_queue_after_100_s(harness: OperatorHarness, **spec: Any) -> None:
    await harness.prepare(**spec)
    harness.start_pods("reviews-a1")
    await harness.settle()
    await harness.settle(later=100)
    suspend_by_queue(harness)
    await harness.settle()


def ask_to_stop(harness: OperatorHarness, *, grace: int) -> None:
    by = (harness.now + timedelta(seconds=grace)).strftime("%Y-%m-%dT%H:%M:%SZ")
    for name in PODS:
        metadata = harness.cluster.of_kind("Pod")[name]["metadata"]
        asked = {"deletionTimestamp": by, "deletionGracePeriodSeconds": grace}
        harness.cluster.change(harness.cluster.of_kind("Pod")[name], metadata=metadata | asked)


def admit(harness: OperatorHarness) -> None:
    stored = harness.cluster.of_kind("Job")["reviews-a1"]
    harness.cluster.change(stored, spec=stored["spec"] | {"suspend": False}, status={"startTime": harness.stamp()})


def stop(harness: OperatorHarness) -> None:
    """Let the pods report their checkpoint and be gone before the operator runs."""
    for name in PODS:
        harness.end_pod(name, exit_code=79, message=TERMINATION_MESSAGE)
        harness.cluster.remove(harness.cluster.of_kind("Pod")[name])


async def suspend(harness: OperatorHarness) -> None:
    """Suspend a job that has run for 100 s; its pods live on."""
    await harness.train()
    await harness.settle(later=100)
    harness.cluster.pods_take_their_time = True
    harness.cluster.change(harness.job(), spec=harness.job()["spec"] | {"suspend": True})
    await harness.settle()


def test_the_termination_messages_of_pods_that_outlive_their_job_count_although_the_pods_are_gone_at_once(
    harness: OperatorHarness,
) -> None:
    async def life() -> None:
        await suspend(harness)
        harness.now += timedelta(seconds=20)
        stop(harness)
        await harness.settle()
        assert harness.status["checkpoint"]["latest"]["step"] == 155
        assert (harness.status["usage"]["activeSeconds"], harness.status["usage"]["lostSteps"]) == (120, 0)

    asyncio.run(life())


def test_a_suspended_gang_whose_node_is_lost_is_counted_once_its_time_is_over(harness: OperatorHarness) -> None:
    async def life() -> None:
        await suspend(harness)
        ask_to_stop(harness, grace=30)
        await harness.settle()
        assert "usage" not in harness.status
        await harness.settle(later=60)
        assert harness.status["usage"]["activeSeconds"] == 100

    asyncio.run(life())


def test_a_job_that_waits_in_a_queue_beyond_its_disruptions_spends_no_active_time(
    harness: OperatorHarness,
) -> None:
    async def life() -> None:
        await suspended_by_queue_after_100_s(harness, failurePolicy={"maxDisruptions": 0}, activeDeadlineSeconds=1000)
        harness.now += timedelta(seconds=20)
        stop(harness)
        await harness.settle()
        await harness.settle(later=5000)
        assert harness.status["phase"] == "Queued"
        assert "runningSince" not in harness.status

    asyncio.run(life())


def test_pods_that_still_stop_are_not_the_gang_that_was_admitted_again(harness: OperatorHarness) -> None:
    async def life() -> None:
        await suspended_by_queue_after_100_s(harness, failurePolicy={"startDeadline": "5m"})
        harness.now += timedelta(seconds=30)
        admit(harness)
        await harness.settle()
        assert harness.status["workers"] == "0/2"
        harness.now += timedelta(seconds=20)
        stop(harness)
        await harness.settle()
        await harness.settle(later=400)
        assert (harness.status["phase"], harness.status["failure"]["class"]) == ("Failed", "StartDeadline")

    asyncio.run(life())


def test_a_gang_that_was_suspended_and_admitted_again_while_no_operator_ran_is_counted_without_its_wait(
    harness: OperatorHarness,
) -> None:
    async def life() -> None:
        await suspended_by_queue_after_100_s(harness)
        watchers, harness.cluster.watchers = harness.cluster.watchers, []
        for name in PODS:
            harness.cluster.remove(harness.cluster.of_kind("Pod")[name])
        harness.now += timedelta(seconds=1000)
        admit(harness)
        harness.start_pods("reviews-a1")
        harness.now += timedelta(seconds=200)
        for name in PODS:
            harness.end_pod(name, exit_code=77)
        harness.end_job("reviews-a1", "FailureTarget")
        harness.cluster.watchers = watchers
        harness.restart_operator()
        await harness.settle()
        assert harness.status["usage"]["activeSeconds"] == 300

    asyncio.run(life())


def test_a_gang_that_started_and_was_suspended_while_no_operator_ran_is_counted(harness: OperatorHarness) -> None:
    async def life() -> None:
        await harness.prepare()
        watchers, harness.cluster.watchers = harness.cluster.watchers, []
        harness.start_pods("reviews-a1")
        harness.now += timedelta(seconds=100)
        suspend_by_queue(harness)
        harness.cluster.watchers = watchers
        harness.restart_operator()
        await harness.settle()
        harness.now += timedelta(seconds=20)
        stop(harness)
        await harness.settle()
        usage: dict[str, Any] = harness.status["usage"]
        assert (usage["activeSeconds"], usage["lostSteps"]) == (120, 0)
        assert harness.status["checkpoint"]["latest"]["step"] == 155

    asyncio.run(life())
