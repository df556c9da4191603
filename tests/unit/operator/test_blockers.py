"""What blocks a FineTuneJob: suspension, foreign names, refusals, lost answers, an operator that is killed."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from operator_harness import OperatorHarness

from tuneloop_operator.settings.operator import OperatorSettings

if TYPE_CHECKING:
    from collections.abc import Callable


def test_suspend_frees_the_nodes_and_a_later_attempt_goes_on(harness: OperatorHarness) -> None:
    async def life() -> None:
        await harness.prepare()
        harness.start_pods("reviews-a1")
        harness.cluster.change(harness.job(), spec=harness.job()["spec"] | {"suspend": True})
        await harness.settle()
        assert harness.status["phase"] == "Suspended"
        assert harness.jobs == {"reviews-prepare"}
        harness.cluster.change(harness.job(), spec=harness.job()["spec"] | {"suspend": False})
        await harness.settle()
        assert "reviews-a2" in harness.jobs
        assert harness.status.get("restarts", {}).get("total", 0) == 0

    asyncio.run(life())


def test_a_name_that_somebody_else_holds_is_never_taken(harness: OperatorHarness) -> None:
    async def life() -> None:
        theirs = {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {"name": "reviews-prepare", "namespace": "team-a"},
        }
        stored = harness.cluster.add(theirs | {"spec": {}})
        harness.submit()
        await harness.settle()
        conflict = next(found for found in harness.status["conditions"] if found["type"] == "NameConflict")
        assert "Job reviews-prepare" in conflict["message"]
        harness.cluster.remove(stored)
        await harness.settle(later=31)
        assert not [found for found in harness.status["conditions"] if found["type"] == "NameConflict"]
        assert "uid" in harness.status["children"]["prepare"]

    asyncio.run(life())


def test_a_refusal_of_the_api_server_is_reported_and_tried_again(harness: OperatorHarness) -> None:
    async def life() -> None:
        await harness.prepare()
        harness.fail("reviews-a1", exit_code=77)
        harness.cluster.refuse["Job"] = "exceeded quota: count/jobs.batch"
        await harness.settle()
        for _ in range(3):
            await harness.settle(later=31)
        refused = next(found for found in harness.status["conditions"] if found["type"] == "Refused")
        assert "exceeded quota" in refused["message"]
        harness.cluster.refuse.clear()
        await harness.settle(later=31)
        assert "reviews-a2" in harness.jobs  # refused attempts use up no numbers

    asyncio.run(life())


def test_a_job_that_cannot_run_here_says_which_field_is_wrong(harness: OperatorHarness) -> None:
    async def life() -> None:
        harness.submit(model={"uri": "file:///home/me/model"})
        await harness.settle()
        accepted = next(found for found in harness.status["conditions"] if found["type"] == "Accepted")
        assert (accepted["type"], accepted["status"]) == ("Accepted", "False")
        assert accepted["message"].startswith("spec.model.uri: found file:///home/me/model")
        assert harness.jobs == set()

    asyncio.run(life())


@pytest.mark.parametrize("lost", range(15))
def test_any_lost_answer_leads_to_the_same_end(lost: int, new_harness: Callable[[], OperatorHarness]) -> None:
    async def life() -> None:
        harness = new_harness()
        harness.cluster.fail_write = lost
        harness.submit()
        for _ in range(12):
            await harness.settle(later=200)
            open_jobs = [name for name, job in harness.cluster.of_kind("Job").items() if "status" not in job]
            for job in open_jobs:
                harness.succeed(job)
        assert harness.status["phase"] == "Succeeded"
        assert len(harness.cluster.writes) > lost, "no answer was lost"
        created = [name for verb, kind, name in harness.cluster.writes if (verb, kind) == ("create", "Job")]
        assert len(created) == len(set(created)), created

    asyncio.run(life())


@pytest.mark.parametrize("writes", range(1, 16))
def test_an_operator_killed_after_any_write_is_replaced_by_one_that_goes_on(
    writes: int, new_harness: Callable[[], OperatorHarness]
) -> None:
    async def life() -> None:
        harness = new_harness()
        harness.cluster.fail_write = writes - 1
        harness.submit()
        for _ in range(12):
            await harness.settle(later=200)
            if len(harness.cluster.writes) >= writes:
                harness.restart_operator()
                harness.cluster.fail_write = None
            open_jobs = [name for name, job in harness.cluster.of_kind("Job").items() if "status" not in job]
            for job in open_jobs:
                harness.succeed(job)
        assert harness.status["phase"] == "Succeeded"
        assert len(harness.cluster.writes) >= writes, "the operator was not killed"
        assert harness.status["attempt"] <= 2  # a number whose Job may have been created is never used again
        assert "restarts" not in harness.status
        created = [name for verb, kind, name in harness.cluster.writes if (verb, kind) == ("create", "Job")]
        assert len(created) == len(set(created)), created

    asyncio.run(life())


def test_a_status_that_would_not_fit_is_reported_like_a_refusal() -> None:
    image = f"registry.example/{'x' * 600}"
    harness = OperatorHarness(OperatorSettings(trainer_image=image, server_image="server:1"))

    async def life() -> None:
        harness.submit()
        await harness.settle()
        refused = next(found for found in harness.status["conditions"] if found["type"] == "Refused")
        assert "the status does not fit its schema: image: found 'registry.example/" in refused["message"]
        writes = len(harness.cluster.writes)
        for _ in range(3):
            await harness.settle(later=31)
        assert len(harness.cluster.writes) == writes

    asyncio.run(life())
