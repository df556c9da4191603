"""What a job without failures costs the API server, and what its gang waits for."""

from __future__ import annotations

import asyncio
import copy
from collections import Counter
from typing import TYPE_CHECKING

from operator_harness import OperatorHarness

if TYPE_CHECKING:
    pass

JOBS = ("reviews-prepare", "reviews-a1", "reviews-export")


def test_a_whole_life_takes_at_most_20_writes(harness: OperatorHarness) -> None:
    async def life() -> None:
        harness.submit()
        for job in JOBS:
            await harness.settle()
            harness.start_pods(job)
            await harness.settle()
            harness.succeed(job)
        await harness.settle()
        assert harness.status["phase"] == "Succeeded"

    asyncio.run(life())
    reasons = [event.reason for event in harness.events]
    assert reasons == ["Started", "PrepareSucceeded", "TrainSucceeded", "ExportSucceeded"]
    assert len(harness.cluster.writes) + len(reasons) <= 20


def test_a_success_needs_no_live_read(harness: OperatorHarness) -> None:
    async def life() -> None:
        harness.submit()
        await harness.settle()
        before = harness.cluster.reads
        harness.succeed("reviews-prepare")
        await harness.settle()
        assert "reviews-a1" in harness.jobs
        assert harness.cluster.reads == before

    asyncio.run(life())


def test_a_success_whose_pod_is_not_reported_yet_is_read_live(harness: OperatorHarness) -> None:
    async def life() -> None:
        harness.submit(failurePolicy={"maxRestarts": 0})
        await harness.settle()
        harness.start_pods("reviews-prepare")
        harness.cluster.watchers.clear()
        harness.succeed("reviews-prepare")
        harness.operator.on_event("MODIFIED", copy.deepcopy(harness.cluster.of_kind("Job")["reviews-prepare"]))
        await harness.settle()
        assert harness.status["phase"] == "Queued"

    asyncio.run(life())


def test_a_gang_waits_for_its_own_job_alone(harness: OperatorHarness) -> None:
    async def life() -> None:
        harness.submit()
        await harness.settle()
        before = len(harness.cluster.writes)
        harness.succeed("reviews-prepare")
        await harness.settle()
        made = [(verb, kind) for verb, kind, _ in harness.cluster.writes[before:]]
        assert Counter(made[: made.index(("create", "Job"))]) == {
            ("patch_status", "FineTuneJob"): 1,
            ("create", "ConfigMap"): 1,
        }

    asyncio.run(life())


def test_a_name_conflict_of_a_gang_is_reported_before_the_data_is_prepared(harness: OperatorHarness) -> None:
    async def life() -> None:
        metadata = {"name": "reviews-train", "namespace": "team-a"}
        harness.cluster.add({"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": {}})
        harness.submit()
        await harness.settle()
        conflict = next(found for found in harness.status["conditions"] if found["type"] == "NameConflict")
        assert "Service reviews-train" in conflict["message"]
        assert harness.jobs == set()

    asyncio.run(life())
