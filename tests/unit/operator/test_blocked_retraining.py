"""Why no run starts, and how a run ends without a model: the real operator on an API server in memory."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from retrained_in_memory import DAY, HOUR, Retrained


def test_the_same_data_train_again_where_that_is_wanted() -> None:
    async def life() -> None:
        deployed = Retrained()
        await deployed.begin(requireNewData=False)
        for _ in range(2):
            await deployed.retrain("d2")
            await deployed.settle(later=DAY)
        assert deployed.outcomes == ["Promoted", "Promoted"]

    asyncio.run(life())


BLOCKS: list[tuple[dict[str, Any], dict[str, Any], tuple[str, str]]] = [
    ({"suspend": True}, {}, ("Blocked", "Suspended")),
    ({"jobTemplateRef": {"name": "nobody"}}, {}, ("Blocked", "TemplateNotUsable")),
    ({"enabled": False}, {}, ("Idle", "")),
    ({"dryRun": True}, {}, ("Blocked", "DryRun")),
    ({}, {"model": {"uri": "pvc://models/artifact", "pin": "PINNED"}}, ("Blocked", "RolloutInProgress")),
    ({}, {"batching": {"maxBatchSize": 7}}, ("Blocked", "RolloutInProgress")),
]


@pytest.mark.parametrize(("retraining", "spec", "place"), BLOCKS, ids=str)
def test_why_no_run_starts(retraining: dict[str, Any], spec: dict[str, Any], place: tuple[str, str]) -> None:
    async def life() -> None:
        deployed = Retrained()
        first = await deployed.begin(**retraining)
        if "model" in spec:
            spec["model"]["pin"] = first
        if spec:
            await deployed.change(**spec)
        await deployed.ask()
        assert deployed.place == place
        assert deployed.created == []
        is_blocked = place[0] == "Blocked"
        assert deployed.condition("RetrainingBlocked") == (str(is_blocked), place[1] or place[0])

    asyncio.run(life())


def test_what_would_have_started_is_recorded_once_for_a_request() -> None:
    async def life() -> None:
        deployed = Retrained()
        await deployed.begin(dryRun=True)
        await deployed.ask()
        await deployed.settle(later=5 * DAY)
        assert deployed.outcomes == ["DryRun"]
        await deployed.ask()
        await deployed.settle(later=5 * DAY)
        assert deployed.outcomes == ["DryRun", "DryRun"]
        assert deployed.created == []

    asyncio.run(life())


def test_runs_beyond_the_budget_wait_for_the_window() -> None:
    async def life() -> None:
        deployed = Retrained()
        await deployed.begin(budget={"maxRuns": 2, "window": "10d"})
        for data in ("d2", "d3"):
            await deployed.retrain(data)
            await deployed.settle(later=1.1 * DAY)
        assert deployed.loop["budget"] == {"runs": 0}
        await deployed.ask()
        assert deployed.place == ("Blocked", "Budget")
        await deployed.settle(later=8 * DAY)
        assert deployed.place == ("Training", "")

    asyncio.run(life())


def test_a_job_that_is_refused_or_deleted_is_a_failed_run_and_blocks_nothing_else() -> None:
    async def life() -> None:
        deployed = Retrained()
        await deployed.begin()
        deployed.harness.cluster.refuse["FineTuneJob"] = "quota"
        await deployed.ask()
        assert deployed.outcomes == ["Failed"]
        assert "quota" in deployed.loop["history"][0]["reason"]
        deployed.harness.cluster.refuse.clear()
        await deployed.settle(later=31.0)
        assert deployed.condition("Ready") == ("True", "AllReady")

        await deployed.ask()
        await deployed.settle(later=2 * DAY)
        deployed.harness.cluster.remove(deployed.harness.job(deployed.run))
        await deployed.settle()
        assert deployed.outcomes == ["Failed", "Failed"]
        assert len(deployed.created) == 1

    asyncio.run(life())


def test_a_job_whose_watch_is_late_is_read_before_its_run_is_given_up() -> None:
    async def life() -> None:
        deployed = Retrained()
        await deployed.begin()
        await deployed.ask()
        await deployed.prepare("d2")
        objects, key = deployed.harness.cluster.objects, ("FineTuneJob", "team-a", deployed.run)
        late = objects.pop(key)
        deployed.harness.restart_operator()  # another one takes over; it knows the status, and not the job yet
        objects[key] = late
        await deployed.settle()
        assert deployed.place == ("Training", "")
        await deployed.finish()
        assert deployed.place == ("Canary", "")
        assert deployed.outcomes == []

    asyncio.run(life())


@pytest.mark.parametrize(
    ("stage", "outcome", "serves"),
    [("Training", "Superseded", "first"), ("Canary", "Superseded", "first"), ("Baking", "Promoted", "new")],
)
def test_without_rollouts_a_run_in_flight_ends_and_no_model_takes_over_that_nobody_judged(
    stage: str, outcome: str, serves: str
) -> None:
    async def life() -> None:
        deployed = Retrained()
        first = await deployed.begin()
        await deployed.ask()
        if stage != "Training":
            await deployed.train("d2")
        if stage == "Baking":
            await deployed.serve()
        assert deployed.place == (stage, "")
        job, spec = deployed.run, deployed.stored["spec"]
        kept = {name: block for name, block in spec.items() if name not in {"rollout", "retraining"}}
        deployed.harness.cluster.change(deployed.stored, spec=kept)
        await deployed.settle(later=60.0)
        await deployed.serve()
        await deployed.settle(later=HOUR + 1)
        assert deployed.outcomes == [outcome]
        assert deployed.place == ("Idle", "")
        assert (deployed.status["stable"]["revision"] == first) == (serves == "first")
        assert (("FineTuneJob", "team-a", job) in deployed.harness.cluster.objects) == (stage != "Training")

    asyncio.run(life())


def test_the_job_of_a_run_stays_until_its_model_was_taken_up_whatever_the_template_says() -> None:
    async def life() -> None:
        deployed = Retrained()
        first = await deployed.begin()
        template = deployed.harness.job("reviews")
        deployed.harness.cluster.change(template, spec=template["spec"] | {"ttlSecondsAfterFinished": 0})
        await deployed.settle()
        await deployed.ask()
        await deployed.change(model={"uri": "pvc://models/artifact", "pin": first})
        await deployed.train("d2")
        await deployed.settle(later=HOUR)
        assert deployed.place == ("Evaluating", "")
        await deployed.change(model={"uri": "pvc://models/artifact"})
        assert deployed.place == ("Canary", "")
        assert deployed.outcomes == []

    asyncio.run(life())
