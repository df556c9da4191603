"""`spec.model.pin`: one revision serves, and no other one is rolled out."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from routed_in_memory import Routed

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

CANARY = {"strategy": "Canary", "steps": [{"weight": 25, "pause": True}, {"weight": 50, "pause": True}]}
MODEL = {"uri": "pvc://models/artifact"}


@pytest.fixture
def deployed() -> Routed:
    return Routed()


def live(story: Callable[[], Coroutine[object, object, None]]) -> None:
    asyncio.run(story())


async def pin(deployed: Routed, revision: str | None) -> None:
    """Pin a revision; None: no longer."""
    await deployed.change(model=MODEL | ({"pin": revision} if revision else {}))


async def promoted(deployed: Routed) -> tuple[str, str]:
    """Return the old revision and the one that has taken over from it."""
    old = await deployed.create(replicas=2, **CANARY)
    new = await deployed.offer()
    await deployed.ready(new, 1)
    await deployed.command("promote/1")
    await deployed.ready(new, 2)
    assert deployed.followed == 2 * [{new: 100}]
    return old, new


def test_the_pinned_revision_gets_all_requests_without_steps_once_its_servers_are_ready(deployed: Routed) -> None:
    async def story() -> None:
        old, new = await promoted(deployed)
        await pin(deployed, old)
        assert (deployed.weights, deployed.counts) == ({new: 100}, {old: 2, new: 2})
        await deployed.ready(old, 2)
        assert (deployed.followed, deployed.counts) == (2 * [{old: 100}], {old: 2, new: 0})
        assert deployed.condition("Ready") == ("True", "AllReady")
        assert f"spec.model.pin keeps {old}" in deployed.message("Ready")

    live(story)


def test_while_a_revision_is_pinned_no_other_is_made_and_afterwards_the_newest_is_offered(deployed: Routed) -> None:
    async def story() -> None:
        old = await deployed.create(replicas=2, **CANARY)
        await pin(deployed, old)
        await deployed.change(batching={"maxBatchSize": 2})
        await deployed.change(batching={"maxBatchSize": 3})
        assert (deployed.revisions, deployed.weights) == ([old], {old: 100})
        await pin(deployed, None)
        (new,) = set(deployed.revisions) - {old}
        assert deployed.status["canary"]["revision"] == new

    live(story)


def test_a_canary_makes_room_for_a_pinned_stable_revision(deployed: Routed) -> None:
    async def story() -> None:
        old = await deployed.create(replicas=2, **CANARY)
        new = await deployed.offer()
        await deployed.ready(new, 1)
        assert deployed.weights == {new: 25, old: 75}
        await pin(deployed, old)
        assert (deployed.followed, deployed.counts) == (2 * [{old: 100}], {old: 2, new: 0})
        assert "canary" not in deployed.status

    live(story)


def test_a_rejected_revision_may_be_pinned_and_is_rejected_no_longer(deployed: Routed) -> None:
    async def story() -> None:
        old = await deployed.create(replicas=2, **CANARY)
        new = await deployed.offer()
        await deployed.ready(new, 1)
        await deployed.command("abort/1")
        assert deployed.status["rollout"]["rejected"][0]["revision"] == new
        await pin(deployed, new)
        await deployed.ready(new, 2)
        assert (deployed.followed, deployed.status["rollout"].get("rejected")) == (2 * [{new: 100}], None)
        assert old in deployed.revisions

    live(story)


def test_an_unknown_revision_is_refused_with_the_known_ones_and_nothing_new_is_rolled_out(deployed: Routed) -> None:
    async def story() -> None:
        old, new = await promoted(deployed)
        await pin(deployed, "0badcafe")
        assert deployed.condition("Accepted") == ("False", "RevisionNotKnown")
        for word in ("spec.model.pin", "0badcafe", old, new):
            assert word in deployed.message("Accepted")
        await deployed.change(batching={"maxBatchSize": 5})
        assert (set(deployed.revisions), deployed.followed) == ({old, new}, 2 * [{new: 100}])
        await pin(deployed, new)
        assert deployed.condition("Accepted") == ("True", "Accepted")

    live(story)


def test_beside_an_unknown_pin_a_canary_that_fails_is_still_brought_back(deployed: Routed) -> None:
    async def story() -> None:
        old = await deployed.create(replicas=2, **CANARY)
        new = await deployed.offer()
        await deployed.ready(new, 1)
        await pin(deployed, "0badcafe")
        assert deployed.weights == {new: 25, old: 75}
        await deployed.ready(new, 0)
        assert deployed.weights == {old: 100}

    live(story)
