"""Prepared data that is lost is prepared again, and has to be the same data."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

from gang_attempts import fail, run_next, termination_message

if TYPE_CHECKING:
    from operator_harness import OperatorHarness


async def prepare_again(harness: OperatorHarness, digest: str) -> None:
    """Lose the prepared data under a running gang, and let it be prepared again."""
    await harness.train()
    await fail(harness, "reviews-a1", "PreparedDataLost", code=81)
    assert "reviews-prepare" in harness.jobs
    assert harness.status["phase"] == "Preparing"
    harness.succeed("reviews-prepare", datasetDigest=digest)
    await harness.settle()


def test_prepared_data_that_is_lost_is_made_again_and_training_goes_on(harness: OperatorHarness) -> None:
    async def life() -> None:
        await prepare_again(harness, "d1")
        assert (harness.status["attempt"], harness.status["restarts"]["failure"]) == (2, 1)
        assert "reviews-a2" in harness.jobs

    asyncio.run(life())


def test_an_export_gets_the_result_of_the_repeated_prepare(harness: OperatorHarness) -> None:
    async def life() -> None:
        await harness.train()
        harness.succeed("reviews-a1")
        await harness.settle()
        harness.fail("reviews-export", exit_code=81, message=termination_message("PreparedDataLost", stage="export"))
        await harness.settle()
        harness.succeed("reviews-prepare", {"path": "/job/prepare.json", "sha256": "b" * 64}, cacheHit=True)
        await harness.settle(later=60)
        (config,) = [
            json.loads(config_map["data"]["run.json"])
            for name, config_map in harness.cluster.of_kind("ConfigMap").items()
            if name == "reviews-export"
        ]
        assert config["prepareResult"]["sha256"] == "b" * 64
        harness.succeed("reviews-export")
        await harness.settle()
        assert harness.status["phase"] == "Succeeded"

    asyncio.run(life())


async def seconds_until_prepared_again(harness: OperatorHarness) -> int:
    """Return the seconds until the data is prepared again. The preparation then succeeds, and the next gang runs."""
    for second in range(60):
        await harness.settle(later=min(second, 1))
        if "ended" not in harness.status["children"]["prepare"]:
            harness.succeed("reviews-prepare", cacheHit=True)
            await harness.settle()
            await run_next(harness)
            return second
    raise AssertionError("nothing is prepared again")


def test_prepared_data_that_is_lost_each_time_is_made_again_ever_later_and_then_no_more(
    harness: OperatorHarness,
) -> None:
    async def life() -> None:
        await harness.train()
        waits = []
        for attempt in (1, 2, 3):
            await fail(harness, f"reviews-a{attempt}", "PreparedDataLost", code=81, later=0)
            waits.append(await seconds_until_prepared_again(harness))
        await fail(harness, "reviews-a4", "PreparedDataLost", code=81, later=0)
        assert waits == [0, 10, 20]
        assert (harness.status["phase"], harness.status["attempt"]) == ("Failed", 4)
        assert "failurePolicy.maxRestarts" in harness.status["failure"]["message"]

    asyncio.run(life())


def test_other_data_than_training_began_with_is_refused(harness: OperatorHarness) -> None:
    async def life() -> None:
        await prepare_again(harness, "d2")
        assert (harness.status["phase"], harness.status["failure"]["class"]) == ("Failed", "Data")
        assert "have changed since training began" in harness.status["failure"]["message"]

    asyncio.run(life())
