"""Roll-outs that a person approves, takes back or steers by a command, on a cluster in memory."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from deployed_in_memory import Deployed
from operator_harness import OperatorHarness

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

HOUR = 3600.0


@pytest.fixture
def deployed(harness: OperatorHarness) -> Deployed:
    return Deployed(harness)


def live(story: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(story())


def test_the_spec_as_it_was_before_ends_the_trouble(deployed: Deployed) -> None:
    async def story() -> None:
        old = await deployed.create()
        await deployed.overdue(await deployed.offer())
        spec = {name: value for name, value in deployed.stored["spec"].items() if name != "batching"}
        deployed.harness.cluster.change(deployed.stored, spec=spec)
        await deployed.settle()
        assert (deployed.status["phase"], deployed.target) == ("Ready", old)
        assert deployed.condition("Stalled") is None

    live(story)


def test_a_person_approves_before_the_new_revision_gets_requests(deployed: Deployed) -> None:
    async def story() -> None:
        old = await deployed.create(approval="Manual")
        new = await deployed.offer()
        await deployed.ready(new, 2)
        assert (deployed.target, deployed.status["rollout"]["phase"]) == (old, "Paused")
        assert deployed.condition("Stalled") == ("True", "Paused")
        await deployed.command("approve/first")
        assert deployed.target == new
        another = await deployed.offer(2)
        await deployed.ready(another, 2)
        assert deployed.target == new, "an approval is for one revision"

    live(story)


@pytest.mark.parametrize("word", ["RollBack", "rollback", "roll-back"])
def test_a_person_goes_back_to_the_revision_before(deployed: Deployed, word: str) -> None:
    async def story() -> None:
        old = await deployed.create()
        new = await deployed.offer()
        await deployed.ready(new, 2)
        await deployed.command(f"{word}/1")
        assert (deployed.counts, deployed.target) == ({old: 2, new: 2}, new)
        await deployed.ready(old, 2)
        assert (deployed.counts, deployed.target) == ({old: 2, new: 0}, old)
        assert deployed.status["stable"]["uri"] == "pvc://models/artifact"

    live(story)


def test_a_command_that_nobody_knows_is_named_once_with_those_that_there_are(deployed: Deployed) -> None:
    async def story() -> None:
        await deployed.create()
        await deployed.command("aprove/1")
        await deployed.settle(later=HOUR)
        (event,) = [event for event in deployed.harness.events if event.reason == "CommandUnknown"]
        assert event.message == (
            "annotation tuneloop.dev/rollout: 'aprove/1'; promote, abort, retry, skip, approve or roll-back is allowed, "
            "with a number of your own behind it; for example approve/1"
        )

    live(story)


def test_a_command_is_for_the_revision_that_it_names(deployed: Deployed) -> None:
    async def story() -> None:
        old = await deployed.create(approval="Manual")
        new = await deployed.offer()
        await deployed.ready(new, 2)
        await deployed.command(f"approve/1/{old}")
        assert deployed.target == old
        await deployed.command(f"approve/2/{new}")
        assert deployed.target == new

    live(story)


def test_the_event_of_a_command_names_the_revision_that_it_is_about(deployed: Deployed) -> None:
    async def story() -> None:
        await deployed.create()
        bad = await deployed.offer()
        await deployed.overdue(bad)
        await deployed.command("retry/1")
        await deployed.ready(bad, 2)
        await deployed.command("roll-back/2")
        obeyed = [event.message for event in deployed.harness.events if event.reason == "CommandObeyed"]
        assert obeyed == [f"Retry of {bad}", f"RollBack of {bad}"]

    live(story)
