"""A retraining and the people beside it: what they take back, pin or edit is theirs."""

from __future__ import annotations

import asyncio

import pytest
from deployed_in_memory import server_pod
from retrained_in_memory import DAY, HOUR, Retrained


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
