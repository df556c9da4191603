"""What an attempt has used and saved when its job is suspended."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING

from gang_attempts import SAVED, post, termination_message

if TYPE_CHECKING:
    from operator_harness import OperatorHarness


async def suspended_at_step_150(harness: OperatorHarness) -> None:
    """Suspend a job that has run for 100 s, 50 steps after its newest checkpoint."""
    await harness.train()
    post(harness, step=150, latest=SAVED, step_seconds=60.0)
    await harness.settle(later=100)
    harness.cluster.pods_take_their_time = True
    harness.cluster.change(harness.job(), spec=harness.job()["spec"] | {"suspend": True})
    await harness.settle()
    assert (harness.status["phase"], harness.jobs) == ("Suspended", {"reviews-prepare"})


def test_a_checkpoint_that_the_pods_of_a_suspended_job_save_as_they_stop_is_in_its_status(
    harness: OperatorHarness,
) -> None:
    async def life() -> None:
        await suspended_at_step_150(harness)
        assert "usage" not in harness.status
        harness.now += timedelta(seconds=20)
        summary = {"startStep": 0, "steps": 155, "worldSize": 2, "last": SAVED | {"step": 155}, "stepSeconds": 62.0}
        for name in ("reviews-a1-1", "reviews-a1-0"):
            harness.end_pod(name, exit_code=79, message=termination_message("Preempted", train=summary))
        await harness.settle()
        assert (harness.status["checkpoint"]["latest"]["step"], harness.status["history"][0]["endStep"]) == (155, 155)
        usage = harness.status["usage"]
        assert (usage["lostSteps"], usage["activeSeconds"], usage["usefulSeconds"]) == (0, 120, 62)
        assert "restarts" not in harness.status

    asyncio.run(life())


def test_a_job_that_is_suspended_while_its_data_is_prepared_has_used_nothing(harness: OperatorHarness) -> None:
    async def life() -> None:
        harness.submit(resources={"nodes": 1, "gpusPerNode": 1})
        await harness.settle()
        harness.start_pods("reviews-prepare")
        await harness.settle(later=100)
        harness.cluster.change(harness.job(), spec=harness.job()["spec"] | {"suspend": True})
        await harness.settle()
        assert harness.status["phase"] == "Suspended"
        assert harness.status.keys().isdisjoint({"runningSince", "usage", "history"})

    asyncio.run(life())


def test_a_suspended_job_whose_pods_are_gone_is_counted_until_its_suspension(
    harness: OperatorHarness,
) -> None:
    async def life() -> None:
        await suspended_at_step_150(harness)
        for name in ("reviews-a1-0", "reviews-a1-1"):
            harness.cluster.remove(harness.cluster.of_kind("Pod")[name])
        harness.restart_operator()
        await harness.settle(later=3600)
        usage = harness.status["usage"]
        assert (usage["lostSteps"], usage["activeSeconds"]) == (50, 100)
        harness.cluster.change(harness.job(), spec=harness.job()["spec"] | {"suspend": False})
        await harness.settle()
        assert harness.status["attempt"] == 2
        assert "startStep" not in harness.status["progress"]

    asyncio.run(life())
