"""Roll-outs by routers, share by share and all at once, on a cluster in memory."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from routed_in_memory import Routed

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

HOUR = 3600.0
STEPS = [{"weight": 5, "minDuration": "10m"}, {"weight": 25, "minDuration": "1h"}, {"weight": 100}]


@pytest.fixture
def deployed() -> Routed:
    return Routed()


def live(story: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(story())


async def at_a_quarter(deployed: Routed, **rollout: Any) -> tuple[str, str]:
    """Return the stable revision, and a canary that gets 25 %."""
    old = await deployed.create(steps=STEPS, **rollout)
    new = await deployed.offer()
    await deployed.ready(new, 1)
    await deployed.settle(later=601.0)
    assert deployed.followed == 2 * [{new: 25, old: 75}]
    return old, new


def test_requests_go_to_the_first_revision_itself_until_a_router_follows(deployed: Routed) -> None:
    async def story() -> None:
        deployed.is_slow = True
        first = await deployed.create()
        assert (deployed.target, deployed.condition("Ready")) == (first, ("True", "AllReady"))
        deployed.is_slow = False
        await deployed.settle()
        assert deployed.targets == [first, "routers"]
        assert deployed.followed == 2 * [{first: 100}]

    live(story)


def test_a_canary_gets_its_share_step_by_step_and_then_everything(deployed: Routed) -> None:
    async def story() -> None:
        old = await deployed.create(replicas=4, steps=STEPS)
        new = await deployed.offer()
        assert (deployed.counts, deployed.weights) == ({old: 4, new: 1}, {old: 100})
        assert ("Service", f"api-{new}-pods") in deployed.router_objects, "its name is known before a router needs it"
        await deployed.ready(new, 1)
        assert deployed.followed == 2 * [{new: 5, old: 95}]
        assert deployed.status["rollout"]["share"] == f"{new} 5%"
        await deployed.settle(later=601.0)
        assert deployed.followed == 2 * [{new: 25, old: 75}]
        await deployed.settle(later=HOUR + 1.0)
        assert (deployed.counts, deployed.followed) == ({old: 4, new: 4}, 2 * [{new: 25, old: 75}])
        await deployed.ready(new, 4)
        assert (deployed.counts, deployed.followed) == ({old: 0, new: 4}, 2 * [{new: 100}])
        assert (deployed.status["stable"]["revision"], deployed.status["rollout"]["phase"]) == (new, "Baking")
        assert deployed.target == "routers"
        messages = [event.message for event in deployed.harness.events if event.reason == "WeightChanged"]
        assert messages == [f"{new} is to get {weight} % of the requests" for weight in (5, 25, 100)]

    live(story)


def test_without_steps_there_are_four_of_ten_minutes(deployed: Routed) -> None:
    async def story() -> None:
        await deployed.create(replicas=1)
        new = await deployed.offer()
        await deployed.ready(new, 1)
        weights = []
        for _ in range(4):
            weights.append(deployed.weights[new])
            await deployed.settle(later=599.0)
            weights.append(deployed.weights[new])
            await deployed.settle(later=2.0)
        assert weights == [5, 5, 25, 25, 50, 50, 100, 100]
        assert deployed.status["stable"]["revision"] == new

    live(story)


def test_blue_green_gives_everything_at_once_when_all_servers_are_ready(deployed: Routed) -> None:
    async def story() -> None:
        old = await deployed.create(strategy="BlueGreen", approval="Manual")
        new = await deployed.offer()
        await deployed.ready(new, 1)
        assert (deployed.counts, deployed.weights) == ({old: 2, new: 2}, {old: 100})
        await deployed.ready(new, 2)
        assert (deployed.status["rollout"]["phase"], deployed.weights) == ("Paused", {old: 100})
        await deployed.command("approve/1")
        assert (deployed.followed, deployed.counts) == (2 * [{new: 100}], {old: 0, new: 2})

    live(story)


def test_a_step_begins_only_when_every_router_follows(deployed: Routed) -> None:
    async def story() -> None:
        old = await deployed.create(steps=STEPS)
        new = await deployed.offer()
        deployed.is_slow = True
        await deployed.ready(new, 1)
        await deployed.settle(later=2 * HOUR)
        assert (deployed.weights, deployed.followed) == ({new: 5, old: 95}, 2 * [{old: 100}])
        assert deployed.counts[old] == 2
        assert "do not follow generation 2 yet" in deployed.status["rollout"]["message"]
        deployed.is_slow = False
        await deployed.settle()
        assert deployed.followed == 2 * [{new: 5, old: 95}]

    live(story)


def test_routers_that_never_start_leave_everything_as_it_is_and_say_why(deployed: Routed) -> None:
    async def story() -> None:
        deployed.image_is_missing = True
        old = await deployed.create(steps=STEPS, maxDuration="2h")
        assert deployed.condition("Ready") == ("True", "AllReady")
        assert "ErrImagePull no such image" in deployed.message("Ready")
        new = await deployed.offer()
        await deployed.ready(new, 1)
        assert (deployed.target, deployed.counts[old]) == (old, 2)
        assert deployed.status["rollout"]["message"] == "no router that is ready follows generation 2 yet"
        await deployed.settle(later=3 * HOUR)
        assert (deployed.status["rollout"]["phase"], deployed.target) == ("Held", old)
        await deployed.command("abort/1")
        assert (deployed.status["rollout"]["phase"], deployed.weights) == ("Aborted", {old: 100})

    live(story)


def test_a_refusal_is_told_once_and_waits_for_a_person(deployed: Routed) -> None:
    async def story() -> None:
        old, new = await at_a_quarter(deployed)
        deployed.refusal = "no room for its files"
        await deployed.settle(later=HOUR + 1.0)
        await deployed.ready(new, 2)
        wanted = deployed.status["rollout"]["split"]["generation"]
        assert (deployed.status["rollout"]["phase"], deployed.followed) == ("Held", 2 * [{new: 25, old: 75}])
        assert f"refuses generation {wanted}: no room for its files" in deployed.status["rollout"]["message"]
        assert deployed.condition("Stalled") == ("True", "Held")
        await deployed.settle(later=HOUR)
        assert deployed.reasons().count("SplitRefused") == 2, "one for each router"
        assert deployed.status["rollout"]["split"]["generation"] == wanted, "it is not tried again by itself"
        deployed.refusal = ""
        await deployed.command("skip/1")
        assert deployed.followed == 2 * [{new: 100}]

    live(story)


def test_routers_that_refuse_before_they_carry_anything_hold_the_canary(deployed: Routed) -> None:
    async def story() -> None:
        deployed.is_slow, deployed.refusal = True, "no room for its files"
        old = await deployed.create(steps=STEPS)
        new = await deployed.offer()
        await deployed.ready(new, 1)
        deployed.is_slow = False
        await deployed.settle()
        assert (deployed.target, deployed.status["rollout"]["phase"]) == (old, "Held")
        await deployed.command("abort/1")
        assert (deployed.status["rollout"]["phase"], deployed.target) == ("Aborted", old)

    live(story)


def test_a_person_who_acts_lets_a_refused_split_be_tried_again(deployed: Routed) -> None:
    async def story() -> None:
        old, new = await at_a_quarter(deployed)
        deployed.refusal = "no room for its files"
        await deployed.settle(later=HOUR + 1.0)
        await deployed.ready(new, 2)
        await deployed.command("retry/1")
        assert deployed.status["rollout"]["phase"] == "Held"
        deployed.refusal = ""
        await deployed.command("abort/2")
        assert (deployed.status["rollout"]["phase"], deployed.followed) == ("Aborted", 2 * [{old: 100}])

    live(story)


def test_a_canary_without_servers_gets_no_request_at_once_and_starts_again(deployed: Routed) -> None:
    async def story() -> None:
        old, new = await at_a_quarter(deployed)
        await deployed.ready(new, 0)
        assert (deployed.followed, deployed.status["rollout"]["phase"]) == (2 * [{old: 100}], "Starting")
        assert "CanaryDown" in deployed.reasons()
        await deployed.ready(new, 1)
        assert deployed.followed == 2 * [{new: 25, old: 75}], "it takes up its step"

    live(story)


def test_a_third_revision_takes_the_place_of_the_canary(deployed: Routed) -> None:
    async def story() -> None:
        old, new = await at_a_quarter(deployed)
        third = await deployed.offer(2)
        assert (deployed.followed, deployed.counts) == (2 * [{old: 100}], {old: 2, new: 0, third: 1})
        await deployed.ready(third, 1)
        assert deployed.followed == 2 * [{third: 5, old: 95}]

    live(story)


def test_stable_can_be_scaled_in_the_middle(deployed: Routed) -> None:
    async def story() -> None:
        old, new = await at_a_quarter(deployed)
        await deployed.change(replicas=8)
        assert deployed.counts == {old: 8, new: 2}
        await deployed.change(replicas=1)
        assert deployed.counts == {old: 1, new: 1}
        assert len(deployed.routers) == 1

    live(story)


@pytest.mark.parametrize(
    ("command", "share", "phase"),
    [
        pytest.param("abort/1", 0, "Aborted", id="abort"),
        pytest.param("roll-back/1", 0, "RolledBack", id="roll-back"),
        pytest.param("skip/1", 25, "Progressing", id="skip, which waits for the servers of the next step"),
        pytest.param("promote/1", 25, "Promoting", id="promote, which waits for servers, too"),
    ],
)
def test_a_person_steers_a_canary(deployed: Routed, command: str, share: int, phase: str) -> None:
    async def story() -> None:
        old, new = await at_a_quarter(deployed)
        await deployed.command(command)
        assert (deployed.weights.get(new, 0), deployed.status["rollout"]["phase"]) == (share, phase)
        if share:
            await deployed.ready(new, 2)
            assert (deployed.followed, deployed.counts) == (2 * [{new: 100}], {old: 0, new: 2})

    live(story)


def test_a_step_with_a_pause_waits_for_a_person(deployed: Routed) -> None:
    async def story() -> None:
        old = await deployed.create(steps=[{"weight": 5, "pause": True}, {"weight": 50}])
        new = await deployed.offer()
        await deployed.ready(new, 1)
        await deployed.settle(later=HOUR)
        assert (deployed.status["rollout"]["phase"], deployed.weights) == ("Paused", {new: 5, old: 95})
        assert deployed.condition("Stalled") == ("True", "Paused")
        await deployed.command("approve/1")
        assert (deployed.status["rollout"]["step"], deployed.weights) == (2, {new: 50, old: 50})

    live(story)


def test_a_promoted_revision_that_fails_brings_the_one_before_back_by_routers(deployed: Routed) -> None:
    async def story() -> None:
        old = await deployed.create(strategy="BlueGreen")
        new = await deployed.offer()
        await deployed.ready(new, 2)
        await deployed.overdue(new)
        assert deployed.counts == {old: 2, new: 2}
        await deployed.ready(old, 2)
        assert (deployed.followed, deployed.status["rollout"]["phase"]) == (2 * [{old: 100}], "RolledBack")

    live(story)


def test_servers_are_replaced_one_by_one_where_there_is_no_room(deployed: Routed) -> None:
    async def story() -> None:
        old = await deployed.create(replicas=3, capacity="Replace", steps=[{"weight": 100}])
        new = await deployed.offer()
        most = 0
        for number in range(1, 4):
            await deployed.ready(new, min(number, deployed.counts[new]))
            most = max(most, sum(deployed.counts.values()))
        assert (deployed.followed, deployed.counts, most) == (2 * [{new: 100}], {old: 0, new: 3}, 3)

    live(story)


def test_trouble_with_the_routers_objects_leaves_users_their_service(deployed: Routed) -> None:
    async def story() -> None:
        metadata = {"name": "api-router", "namespace": "team-a", "labels": {}}
        deployed.harness.cluster.add(
            {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": {"replicas": 0}}
        )
        first = await deployed.create()
        assert (deployed.target, deployed.condition("Stalled")) == (first, ("True", "NameConflict"))

    live(story)
