"""What gets in the way of a FineTuneJob: suspension, foreign names, refusals, lost answers, an operator that is killed."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Bed = Any


def run(life: Any) -> None:
    asyncio.run(life)


def test_suspend_frees_the_nodes_and_a_later_attempt_goes_on(bed: Bed) -> None:
    async def life() -> None:
        await bed.prepare()
        bed.start_pods("reviews-a1")
        bed.cluster.change(bed.job(), spec=bed.job()["spec"] | {"suspend": True})
        await bed.settle()
        assert bed.status["phase"] == "Suspended"
        assert bed.jobs == {"reviews-prepare"}
        bed.cluster.change(bed.job(), spec=bed.job()["spec"] | {"suspend": False})
        await bed.settle()
        assert "reviews-a2" in bed.jobs
        assert bed.status.get("restarts", {}).get("total", 0) == 0

    run(life())


def test_a_name_that_somebody_else_holds_is_never_taken(bed: Bed) -> None:
    async def life() -> None:
        theirs = {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {"name": "reviews-prepare", "namespace": "team-a"},
        }
        stored = bed.cluster.add(theirs | {"spec": {}})
        bed.submit()
        await bed.settle()
        conflict = next(one for one in bed.status["conditions"] if one["type"] == "NameConflict")
        assert "Job reviews-prepare" in conflict["message"]
        bed.cluster.remove(stored)
        await bed.settle(later=31)
        assert not [one for one in bed.status["conditions"] if one["type"] == "NameConflict"]
        assert "uid" in bed.status["children"]["prepare"]

    run(life())


def test_what_the_api_server_refuses_is_said_and_tried_again(bed: Bed) -> None:
    async def life() -> None:
        await bed.prepare()
        bed.fail("reviews-a1", exit_code=77)
        bed.cluster.refuse["Job"] = "exceeded quota: count/jobs.batch"
        await bed.settle()
        for _ in range(3):
            await bed.settle(later=31)
        refused = next(one for one in bed.status["conditions"] if one["type"] == "Refused")
        assert "exceeded quota" in refused["message"]
        bed.cluster.refuse.clear()
        await bed.settle(later=31)
        assert "reviews-a2" in bed.jobs  # refused attempts use up no numbers

    run(life())


def test_a_job_that_cannot_run_here_says_which_field_is_wrong(bed: Bed) -> None:
    async def life() -> None:
        bed.submit(model={"uri": "file:///home/me/model"})
        await bed.settle()
        (accepted,) = bed.status["conditions"]
        assert (accepted["type"], accepted["status"]) == ("Accepted", "False")
        assert accepted["message"].startswith("spec.model.uri: found file:///home/me/model")
        assert bed.jobs == set()

    run(life())


@pytest.mark.parametrize("lost", range(15))
def test_any_lost_answer_leads_to_the_same_end(lost: int, new_bed: Callable[[], Bed]) -> None:
    async def life() -> None:
        bed = new_bed()
        bed.cluster.fail_write = lost
        bed.submit()
        for _ in range(12):
            await bed.settle(later=200)
            open_jobs = [name for name, job in bed.cluster.of_kind("Job").items() if "status" not in job]
            for job in open_jobs:
                bed.succeed(job)
        assert bed.status["phase"] == "Succeeded"
        assert len(bed.cluster.writes) > lost, "no answer was lost"
        created = [name for verb, kind, name in bed.cluster.writes if (verb, kind) == ("create", "Job")]
        assert len(created) == len(set(created)), created

    run(life())


@pytest.mark.parametrize("writes", range(1, 16))
def test_an_operator_killed_after_any_write_is_replaced_by_one_that_goes_on(
    writes: int, new_bed: Callable[[], Bed]
) -> None:
    async def life() -> None:
        bed = new_bed()
        bed.cluster.fail_write = writes - 1
        bed.submit()
        for _ in range(12):
            await bed.settle(later=200)
            if len(bed.cluster.writes) >= writes:
                bed.restart_operator()
                bed.cluster.fail_write = None
            open_jobs = [name for name, job in bed.cluster.of_kind("Job").items() if "status" not in job]
            for job in open_jobs:
                bed.succeed(job)
        assert bed.status["phase"] == "Succeeded"
        assert len(bed.cluster.writes) >= writes, "the operator was not killed"
        assert bed.status["attempt"] <= 2  # a number whose Job may have been created is never used again
        assert "restarts" not in bed.status
        created = [name for verb, kind, name in bed.cluster.writes if (verb, kind) == ("create", "Job")]
        assert len(created) == len(set(created)), created

    run(life())
