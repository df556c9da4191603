"""A retraining from its trigger to the model that serves: the real operator on an API server in memory."""

from __future__ import annotations

import asyncio

import pytest
from retrained_in_memory import DAY, HOUR, Retrained


def test_a_model_that_was_asked_for_is_trained_once_and_takes_over() -> None:
    async def life() -> None:
        deployed = Retrained()
        first = await deployed.begin()
        assert deployed.place == ("Idle", "")

        await deployed.ask()
        assert deployed.place == ("Training", "")
        assert deployed.created == [deployed.run]

        await deployed.train("d2")
        assert deployed.place == ("Canary", "")
        (new,) = set(deployed.revisions) - {first}
        assert deployed.status["stable"]["revision"] == first

        await deployed.serve()
        assert deployed.place == ("Baking", "")
        assert deployed.status["stable"]["revision"] == new

        await deployed.settle(later=HOUR + 1)
        assert deployed.outcomes == ["Promoted"]
        assert deployed.loop["choice"]["revision"] == new
        assert "model" in deployed.stored["spec"], "the spec stays the user's"
        assert deployed.stored["spec"]["model"] == {"uri": "pvc://models/artifact"}

        await deployed.settle(later=30 * DAY)
        await deployed.restart()
        assert len(deployed.created) == 1
        assert deployed.status["stable"]["revision"] == new

    asyncio.run(life())


def test_a_run_copies_the_template_with_more_data_another_seed_and_the_rest_of_the_budget() -> None:
    async def life() -> None:
        deployed = Retrained()
        first = await deployed.begin(data=[{"uri": "pvc://models/new"}], budget={"gpuHours": 8}, startFrom="champion")
        await deployed.ask()
        annotations = deployed.harness.job(deployed.run)["metadata"]["annotations"]
        assert annotations["tuneloop.dev/retraining-trigger"] == "manual"
        assert annotations["tuneloop.dev/champion-revision"] == first
        assert annotations["tuneloop.dev/feedback-cutoff"] == deployed.loop["history"][-1]["startedAt"]
        spec, template = deployed.job_spec(deployed.run), deployed.job_spec("reviews")
        assert "suspend" not in spec
        assert [source["uri"] for source in spec["data"]["train"]] == [
            template["data"]["train"][0]["uri"],
            "pvc://models/new",
        ]
        assert spec["training"]["seed"] not in {None, 42}
        assert spec["budget"] == {"maxGpuHours": 8.0}
        assert spec["model"] == {"uri": "pvc://models/artifact/model"}
        assert spec["storage"] == template["storage"]

    asyncio.run(life())


def test_a_run_learns_from_the_feedback_of_its_deployment_up_to_its_own_start() -> None:
    async def life() -> None:
        deployed = Retrained()
        await deployed.begin()
        template = deployed.harness.job("reviews")
        train = [*template["spec"]["data"]["train"], {"uri": "feedback://api"}]
        deployed.harness.cluster.change(template, spec=template["spec"] | {"data": {"train": train}})
        await deployed.change(feedback={"storeInputs": "all", "storage": {"claim": "labels"}})
        await deployed.serve()
        await deployed.settle(later=HOUR + 1)
        await deployed.ask()
        assert deployed.place == ("Training", ""), deployed.loop["message"]
        (_, feedback) = deployed.job_spec(deployed.run)["data"]["train"]
        started = deployed.loop["history"][-1]["startedAt"]
        assert feedback == {"uri": "feedback://api", "cutoff": started}

    asyncio.run(life())


def test_a_rejected_model_goes_and_the_next_run_waits_twice_as_long() -> None:
    async def life() -> None:
        deployed = Retrained()
        first = await deployed.begin()
        await deployed.ask()
        await deployed.train("d2")
        (new,) = set(deployed.revisions) - {first}
        await deployed.overdue(new)
        await deployed.settle(later=60.0)
        assert deployed.outcomes == ["Rejected"]
        assert deployed.status["stable"]["revision"] == first
        assert deployed.status["rollout"].get("canary") is None

        await deployed.ask()
        assert deployed.place == ("Blocked", "Cooldown")
        await deployed.settle(later=1.9 * DAY)
        assert deployed.place == ("Blocked", "Cooldown")
        await deployed.settle(later=0.2 * DAY)
        assert deployed.place == ("Training", "")

    asyncio.run(life())


@pytest.mark.parametrize(
    ("verdict", "outcome"),
    [("Better", None), ("NotBetter", "Rejected"), ("Worse", "Rejected"), ("Inconclusive", "Rejected")],
)
def test_only_a_better_model_is_rolled_out(verdict: str, outcome: str | None) -> None:
    async def life() -> None:
        deployed = Retrained()
        first = await deployed.begin()
        await deployed.ask()
        asked = deployed.job_spec(deployed.run)["evaluation"]["compareWith"]
        assert asked == {"uri": deployed.status["stable"]["uri"]}
        await deployed.prepare("d2")
        await deployed.learn()
        found = {
            "verdict": verdict,
            "message": "0.91 of 900 rows against 0.90",
            "metric": "accuracy",
            "championDigest": "sha256:1",
            "seconds": 1.5,
            "sets": [],
        }
        await deployed.publish(comparison=found)
        if outcome is None:
            assert deployed.place == ("Canary", "")
        else:
            assert deployed.outcomes == [outcome]
            assert f"{verdict}: 0.91 of 900" in deployed.loop["history"][0]["reason"]
            assert deployed.revisions == [first], "no server of it was started"

    asyncio.run(life())


def test_a_model_waits_for_another_roll_out_to_end() -> None:
    async def life() -> None:
        deployed = Retrained()
        first = await deployed.begin()
        await deployed.ask()
        await deployed.prepare("d2")
        mine = await deployed.offer()
        await deployed.finish()
        assert deployed.place == ("Evaluating", "")
        assert deployed.status["rollout"]["canary"] == mine
        await deployed.serve()
        await deployed.settle(later=HOUR + 1)
        assert deployed.place == ("Canary", "")
        assert deployed.status["rollout"]["canary"] not in {first, mine}

    asyncio.run(life())


def test_another_job_of_the_name_is_not_the_runs() -> None:
    async def life() -> None:
        deployed = Retrained()
        await deployed.begin()
        await deployed.ask()
        job, cluster = deployed.harness.job(deployed.run), deployed.harness.cluster
        cluster.remove(job)
        # the operator sees both changes at once
        cluster.add(job | {"metadata": {name: value for name, value in job["metadata"].items() if name != "uid"}})
        await deployed.settle()
        assert deployed.outcomes == ["Failed"]
        assert "replaced" in deployed.loop["history"][0]["reason"]

    asyncio.run(life())


@pytest.mark.parametrize("ended", ["Rejected", "Promoted"])
def test_the_same_data_teach_the_same_champion_once(ended: str) -> None:
    async def life() -> None:
        deployed = Retrained()
        first = await deployed.begin()
        await deployed.ask()
        await deployed.train("d2")
        if ended == "Rejected":
            (new,) = set(deployed.revisions) - {first}
            await deployed.overdue(new)
        else:
            await deployed.serve()
        await deployed.settle(later=HOUR + 1)
        await deployed.settle(later=3 * DAY)
        assert deployed.outcomes == [ended]

        await deployed.ask()
        job = deployed.run
        await deployed.prepare("d2")
        assert deployed.outcomes == [ended, "NoNewData"]
        assert job not in deployed.harness.cluster.of_kind("FineTuneJob"), "it does not train"
        await deployed.ask()
        assert deployed.place == ("Blocked", "NoNewData")

        await deployed.settle(later=3 * DAY)
        await deployed.prepare("d3")
        assert deployed.place == ("Training", "")

    asyncio.run(life())
