"""What a job that nobody disturbs costs the API server, and what its gang waits for."""

from __future__ import annotations

import asyncio
import copy
from collections import Counter
from typing import TYPE_CHECKING, Any

from tuneloop_operator.controller.operator import Operator

if TYPE_CHECKING:
    from tuneloop_operator.decide.decision import Event

JOBS = ("reviews-prepare", "reviews-a1", "reviews-export")


def test_a_whole_life_takes_at_most_20_writes(bed: Any) -> None:
    told: list[str] = []

    async def tell(_: Any, event: Event) -> None:
        told.append(event.reason)

    async def life() -> None:
        bed.operator = Operator(cluster=bed.cluster, settings=bed.settings, clock=lambda: bed.now, workers=1, tell=tell)
        bed.submit()
        for job in JOBS:
            await bed.settle()
            bed.start_pods(job)
            await bed.settle()
            bed.succeed(job)
        await bed.settle()
        assert bed.status["phase"] == "Succeeded"

    asyncio.run(life())
    assert told == ["Started", "PrepareSucceeded", "TrainSucceeded", "ExportSucceeded"]
    assert len(bed.cluster.writes) + len(told) <= 20


def test_a_success_is_read_from_what_the_watch_told(bed: Any) -> None:
    async def life() -> None:
        bed.submit()
        await bed.settle()
        before = bed.cluster.reads
        bed.succeed("reviews-prepare")
        await bed.settle()
        assert "reviews-a1" in bed.jobs
        assert bed.cluster.reads == before

    asyncio.run(life())


def test_a_success_whose_pod_was_not_told_of_yet_is_looked_at(bed: Any) -> None:
    async def life() -> None:
        bed.submit(failurePolicy={"maxRestarts": 0})
        await bed.settle()
        bed.start_pods("reviews-prepare")
        bed.cluster.watchers.clear()
        bed.succeed("reviews-prepare")
        bed.operator.on_event("MODIFIED", copy.deepcopy(bed.cluster.of_kind("Job")["reviews-prepare"]))
        await bed.settle()
        assert bed.status["phase"] == "Queued"

    asyncio.run(life())


def test_a_gang_waits_for_its_own_job_alone(bed: Any) -> None:
    async def life() -> None:
        bed.submit()
        await bed.settle()
        before = len(bed.cluster.writes)
        bed.succeed("reviews-prepare")
        await bed.settle()
        made = [(verb, kind) for verb, kind, _ in bed.cluster.writes[before:]]
        assert Counter(made[: made.index(("create", "Job"))]) == {
            ("patch_status", "FineTuneJob"): 1,
            ("create", "ConfigMap"): 1,
        }

    asyncio.run(life())


def test_what_is_in_the_way_of_a_gang_is_said_before_the_data_is_prepared(bed: Any) -> None:
    async def life() -> None:
        metadata = {"name": "reviews-train", "namespace": "team-a"}
        bed.cluster.add({"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": {}})
        bed.submit()
        await bed.settle()
        conflict = next(one for one in bed.status["conditions"] if one["type"] == "NameConflict")
        assert "Service reviews-train" in conflict["message"]
        assert bed.jobs == set()

    asyncio.run(life())
