"""How the next attempt differs: a smaller micro-batch, one checkpoint back; and what the attempt before it counts for."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from gang_attempts import SAVED, fail, post, run_config, run_next, termination_message

if TYPE_CHECKING:
    from operator_harness import OperatorHarness


def test_a_gpu_without_memory_halves_the_micro_batch_twice_at_most(harness: OperatorHarness) -> None:
    async def life() -> None:
        await harness.train()
        sizes = []
        for attempt in (1, 2):
            await fail(harness, f"reviews-a{attempt}", "OutOfMemoryGpu", code=71)
            config = run_config(harness, await run_next(harness))
            sizes.append((config["microBatchSize"], config["settings"].get("training")))
        assert sizes == [(4, None), (2, None)]  # the spec sets no global batch, and none is set for it
        assert harness.status["resume"] == "rounding"
        await fail(harness, "reviews-a3", "OutOfMemoryGpu", code=71)
        assert harness.status["phase"] == "Failed"
        assert "halved 2 times" in harness.status["failure"]["message"]

    asyncio.run(life())


def test_a_loss_that_is_not_finite_goes_one_checkpoint_back_and_is_replayed_once(
    harness: OperatorHarness,
) -> None:
    async def life() -> None:
        await harness.train()
        post(harness, step=150, latest=SAVED)
        await harness.settle()
        await fail(harness, "reviews-a1", "NonFiniteLoss", code=76, step=151)
        config = run_config(harness, await run_next(harness))
        assert (config["resumeBefore"], config.get("expectedStep")) == (SAVED["step"], None)
        assert harness.status["restarts"]["failure"] == 0
        await fail(harness, "reviews-a2", "NonFiniteLoss", code=76, step=151)
        assert (harness.status["phase"], harness.status["failure"]["class"]) == ("Failed", "NonFiniteLoss")
        assert "came again" in harness.status["failure"]["message"]

    asyncio.run(life())


def test_a_loss_that_is_not_finite_at_a_later_step_is_replayed_again(harness: OperatorHarness) -> None:
    async def life() -> None:
        await harness.train()
        await fail(harness, "reviews-a1", "NonFiniteLoss", code=76, step=151)
        await run_next(harness)
        await fail(harness, "reviews-a2", "NonFiniteLoss", code=76, step=400)
        assert harness.status["attempt"] == 3

    asyncio.run(life())


def test_a_checkpoint_of_the_replay_ends_the_search_before_the_suspect_one(harness: OperatorHarness) -> None:
    async def life() -> None:
        await harness.train()
        post(harness, step=150, latest=SAVED)
        await harness.settle()
        await fail(harness, "reviews-a1", "NonFiniteLoss", code=76, step=151)
        await run_next(harness)
        post(harness, attempt=2, step=80, latest=SAVED | {"step": 80})
        await harness.settle(later=11)
        await fail(harness, "reviews-a2", "Hang", code=75)
        config = run_config(harness, await run_next(harness))
        assert (config.get("resumeBefore"), config["expectedStep"]) == (None, 80)

    asyncio.run(life())


@pytest.mark.parametrize("posts", [True, False], ids=["posted", "only in the termination message"])
def test_a_loss_that_is_not_finite_after_a_damaged_checkpoint_goes_back_behind_the_newest_whole_one(
    harness: OperatorHarness, posts: bool
) -> None:
    async def life() -> None:
        await harness.train()
        post(harness, step=100, latest=SAVED)
        await harness.settle()
        await fail(harness, "reviews-a1", "Hang", code=75)
        await run_next(harness)
        newest = SAVED | {"step": 70}
        if posts:
            post(harness, attempt=2, start_step=50, step=75, latest=newest)
            await harness.settle(later=11)
        summary: dict[str, Any] = (
            {} if posts else {"train": {"startStep": 50, "steps": 75, "worldSize": 2, "last": newest}}
        )
        await fail(harness, "reviews-a2", "NonFiniteLoss", code=76, step=75, **summary)
        assert run_config(harness, await run_next(harness))["resumeBefore"] == 70
        assert harness.status["usage"]["lostSteps"] == 5

    asyncio.run(life())


def test_the_jobs_own_rules_come_before_the_table(harness: OperatorHarness) -> None:
    async def life() -> None:
        rules = [{"class": "Hang", "action": "Fail"}, {"exitCodes": [65], "action": "RestartFree"}]
        await harness.prepare(failurePolicy={"rules": rules})
        await run_next(harness)
        await fail(harness, "reviews-a1", "Data", code=65)
        assert (harness.status["attempt"], harness.status["restarts"]["disruption"]) == (2, 1)
        await run_next(harness)
        await fail(harness, "reviews-a2", "Hang", code=75)
        assert harness.status["phase"] == "Failed"

    asyncio.run(life())


def test_lost_steps_and_goodput_are_those_that_no_checkpoint_held(harness: OperatorHarness) -> None:
    async def life() -> None:
        await harness.train()
        post(harness, step=150, latest=SAVED, step_seconds=60.0)
        await harness.settle(later=100)
        await fail(harness, "reviews-a1", "Hang", code=75)
        usage = harness.status["usage"]
        assert (usage["lostSteps"], usage["activeSeconds"]) == (50, 100)
        assert usage["usefulSeconds"] == pytest.approx(40)
        assert usage["goodput"] == pytest.approx(0.4)

    asyncio.run(life())


def test_the_termination_message_of_a_pod_is_known_after_the_pod_is_gone(harness: OperatorHarness) -> None:
    async def life() -> None:
        await harness.train()
        message = termination_message(
            "Preempted", train={"startStep": 0, "steps": 120, "worldSize": 2, "last": SAVED | {"step": 120}}
        )
        harness.end_pod("reviews-a1-1", exit_code=79, message=message)
        for name in ("reviews-a1-0", "reviews-a1-1"):
            harness.cluster.remove(harness.cluster.of_kind("Pod")[name])
        harness.end_job("reviews-a1", "FailureTarget")
        await harness.settle()
        assert (harness.status["failure"]["class"], harness.status["restarts"]["disruption"]) == ("Preempted", 1)
        assert harness.status["checkpoint"]["latest"]["step"] == 120
        assert "reviews-a2" in harness.jobs

    asyncio.run(life())


def test_a_pod_that_a_user_deleted_is_a_disruption_however_late_it_is_gone(harness: OperatorHarness) -> None:
    async def life() -> None:
        await harness.train()
        pod = harness.cluster.of_kind("Pod")["reviews-a1-1"]
        asked = {"deletionTimestamp": "2026-01-01T12:05:00Z", "deletionGracePeriodSeconds": 300}
        harness.cluster.change(pod, metadata=pod["metadata"] | asked)
        harness.end_pod("reviews-a1-1", exit_code=143)
        await harness.settle(later=5)
        pod = harness.cluster.of_kind("Pod")["reviews-a1-1"]
        last = {"deletionTimestamp": harness.stamp(), "deletionGracePeriodSeconds": 0}  # the kubelet's own request
        harness.cluster.change(pod, metadata=pod["metadata"] | last)
        harness.cluster.remove(harness.cluster.of_kind("Pod")["reviews-a1-1"])
        harness.end_job("reviews-a1", "FailureTarget")
        await harness.settle(later=6)
        assert harness.status["restarts"]["disruption"] == 1

    asyncio.run(life())
