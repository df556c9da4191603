"""A retraining from its trigger to the model that serves: the real operator on an API server in memory."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from deployed_in_memory import server_pod
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


def test_a_model_that_a_person_takes_back_while_it_bakes_is_rolled_back() -> None:
    async def life() -> None:
        deployed = Retrained()
        first = await deployed.begin()
        await deployed.ask()
        await deployed.train("d2")
        await deployed.serve()
        assert deployed.place == ("Baking", "")
        await deployed.command("roll-back/1")
        await deployed.serve()
        await deployed.settle(later=60.0)
        assert deployed.outcomes == ["RolledBack"]
        assert "choice" not in deployed.loop
        await deployed.settle(later=DAY)
        assert deployed.status["stable"]["revision"] == first

    asyncio.run(life())


@pytest.mark.parametrize("runs", [1, 2])
def test_a_model_that_a_person_takes_back_after_its_run_has_ended_does_not_come_back_with_an_edit(runs: int) -> None:
    async def life() -> None:
        deployed = Retrained()
        await deployed.begin()
        artifacts = [deployed.status["stable"]["uri"]]
        for number in range(runs):
            await deployed.settle(later=1.1 * DAY)
            await deployed.retrain(f"d{number}")
            artifacts.append(deployed.status["stable"]["uri"])
        await deployed.command("roll-back/1")
        await deployed.serve()
        before = artifacts[-2]
        assert deployed.status["stable"]["uri"] == before
        assert deployed.loop.get("choice", {}).get("uri") == (before if runs == 2 else None)
        await deployed.offer()
        await deployed.serve()
        await deployed.settle(later=HOUR + 1)
        assert deployed.status["stable"]["uri"] == before
        assert deployed.outcomes == ["Promoted"] * runs, "the runs themselves ended well"

    asyncio.run(life())


def test_a_model_whose_servers_fail_after_its_run_has_ended_does_not_come_back_with_an_edit() -> None:
    async def life() -> None:
        deployed = Retrained()
        await deployed.begin()
        await deployed.retrain("d2")
        new = deployed.status["stable"]["revision"]
        ended = {"terminated": {"exitCode": 74, "message": "damaged"}}
        container = {"restartCount": 3, "state": {"waiting": {}}, "lastState": ended}
        await deployed.replace_pods(new, server_pod(new, 0, ready=False, **container))
        await deployed.serve()
        assert deployed.status["stable"]["uri"] == "pvc://models/artifact"
        await deployed.offer()
        await deployed.serve()
        await deployed.settle(later=HOUR + 1)
        assert deployed.status["stable"]["uri"] == "pvc://models/artifact"
        assert "choice" not in deployed.loop

    asyncio.run(life())


@pytest.mark.parametrize("is_aborted", [False, True])
def test_a_model_that_was_promoted_comes_back_after_a_pin(is_aborted: bool) -> None:
    async def life() -> None:
        deployed = Retrained()
        first = await deployed.begin()
        await deployed.retrain("d2")
        uri = deployed.status["stable"]["uri"]
        await deployed.change(model={"uri": "pvc://models/artifact", "pin": first})
        await deployed.serve()
        await deployed.settle(later=HOUR + 1)
        assert deployed.status["stable"]["revision"] == first
        await deployed.change(model={"uri": "pvc://models/artifact"})
        if is_aborted:
            await deployed.command("abort/1")
            await deployed.offer()
        await deployed.serve()
        await deployed.settle(later=HOUR + 1)
        assert deployed.status["stable"]["uri"] == uri

    asyncio.run(life())


@pytest.mark.parametrize("promoted", [False, True], ids=["on its way", "promoted"])
def test_the_users_word_wins(promoted: bool) -> None:
    async def life() -> None:
        deployed = Retrained()
        await deployed.begin()
        await deployed.ask()
        await deployed.train("d2")
        if promoted:
            await deployed.serve()
            await deployed.settle(later=HOUR + 1)
        await deployed.change(model={"uri": "pvc://models/mine"})
        await deployed.serve()
        await deployed.settle(later=HOUR + 1)
        assert deployed.status["stable"]["uri"] == "pvc://models/mine"
        assert "choice" not in deployed.loop
        assert deployed.outcomes == (["Promoted"] if promoted else ["Superseded"])
        await deployed.restart()
        assert deployed.status["stable"]["uri"] == "pvc://models/mine"

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


def test_an_edit_of_the_loop_offers_no_rejected_revision_again() -> None:
    async def life() -> None:
        deployed = Retrained()
        first = await deployed.begin()
        bad = await deployed.offer()
        await deployed.overdue(bad)
        await deployed.settle(later=60.0)
        await deployed.change(retraining=deployed.stored["spec"]["retraining"] | {"suspend": True})
        assert "canary" not in deployed.status["rollout"]
        assert deployed.status["stable"]["revision"] == first

    asyncio.run(life())


def test_an_edit_of_the_model_ends_the_training_for_it() -> None:
    async def life() -> None:
        deployed = Retrained()
        await deployed.begin()
        await deployed.ask()
        await deployed.change(model={"uri": "pvc://models/mine"})
        assert deployed.outcomes == ["Superseded"]
        assert set(deployed.harness.cluster.of_kind("FineTuneJob")) == {"reviews"}

    asyncio.run(life())


def test_an_edit_of_other_fields_keeps_the_model_that_was_promoted() -> None:
    async def life() -> None:
        deployed = Retrained()
        await deployed.begin()
        await deployed.retrain("d2")
        uri = deployed.status["stable"]["uri"]
        await deployed.offer()
        await deployed.serve()
        await deployed.settle(later=HOUR + 1)
        assert deployed.status["stable"]["uri"] == uri

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
