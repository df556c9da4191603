"""Routers come before a deployment needs them and go after it does, whatever happens to the strategy, the spec, the status and the operator."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from routed_in_memory import Routed

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

HOUR = 3600.0
RECREATE = {"strategy": "Recreate"}
CANARY = {"strategy": "Canary", "steps": [{"weight": 25, "minDuration": "10m"}, {"weight": 100}]}


@pytest.fixture
def deployed() -> Routed:
    return Routed()


def live(story: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(story())


async def at_a_quarter(deployed: Routed, number: int = 1) -> tuple[str, str]:
    """Offer a revision until it gets 25 %; return the stable one and that."""
    old = deployed.status["stable"]["revision"]
    new = await deployed.offer(number)
    await deployed.ready(new, 1)
    assert deployed.weights == {new: 25, old: 75}
    return old, new


def objects_of_routers(*revisions: str) -> set[tuple[str, str]]:
    kinds = ("ConfigMap", "Deployment", "NetworkPolicy", "PodDisruptionBudget")
    return {(kind, "api-router") for kind in kinds} | {("Service", f"api-{name}-pods") for name in revisions}


def test_a_strategy_that_is_changed_at_rest_brings_routers_and_takes_them_away(deployed: Routed) -> None:
    async def story() -> None:
        first = await deployed.create(**RECREATE)
        assert (deployed.target, deployed.router_objects) == (first, set())
        await deployed.change(rollout=CANARY)
        assert (deployed.target, deployed.router_objects) == ("routers", objects_of_routers(first))
        await deployed.change(rollout=RECREATE)
        assert (deployed.targets, deployed.routers) == ([first, "routers", first], {})
        assert deployed.router_objects == {("NetworkPolicy", "api-router")}, "it selects nothing"
        await deployed.change(rollout=CANARY)
        assert (deployed.target, deployed.followed) == ("routers", 2 * [{first: 100}])

    live(story)


def test_a_canary_on_its_way_keeps_its_routers_when_the_spec_says_recreate(deployed: Routed) -> None:
    async def story() -> None:
        await deployed.create(**CANARY)
        old, new = await at_a_quarter(deployed)
        await deployed.change(rollout=RECREATE)
        assert (deployed.target, deployed.followed) == ("routers", 2 * [{new: 25, old: 75}])
        await deployed.command("promote/1")
        await deployed.ready(new, 2)
        assert (deployed.status["stable"]["revision"], deployed.target) == (new, new)
        assert deployed.routers == {}
        third = await deployed.offer(2)
        await deployed.ready(third, 2)
        assert deployed.target == third

    live(story)


def test_a_roll_out_without_routers_ends_as_it_began_when_the_spec_says_canary(deployed: Routed) -> None:
    async def story() -> None:
        old = await deployed.create(**RECREATE)
        new = await deployed.offer()
        await deployed.change(rollout=CANARY | {"capacity": "Replace"})
        assert (deployed.target, deployed.status["rollout"]["strategy"]) == (old, "Recreate")
        assert deployed.counts == {old: 2, new: 2}, "the Service cannot give a share to servers that replace others"
        await deployed.ready(new, 2)
        assert deployed.targets == [old, new, "routers"]
        assert (deployed.status["rollout"]["strategy"], deployed.counts) == ("Canary", {old: 0, new: 2})
        await at_a_quarter(deployed, 2)

    live(story)


def test_without_spec_rollout_the_routers_go(deployed: Routed) -> None:
    async def story() -> None:
        first = await deployed.create(**CANARY)
        plain = {name: value for name, value in deployed.stored["spec"].items() if name != "rollout"}
        deployed.harness.cluster.change(deployed.stored, spec=plain)
        await deployed.settle()
        assert (deployed.target, deployed.routers) == (first, {})
        assert deployed.router_objects == {("NetworkPolicy", "api-router")}
        assert "rollout" not in deployed.status

    live(story)


def test_what_was_served_is_known_when_the_memory_is_lost_behind_routers(deployed: Routed) -> None:
    async def story() -> None:
        await deployed.create(**CANARY)
        old, new = await at_a_quarter(deployed)
        before = deployed.status["rollout"]["split"]["generation"]
        deployed.harness.cluster.change(deployed.stored, status={})
        await deployed.settle()
        assert deployed.status["stable"]["revision"] == old
        assert deployed.status["rollout"]["split"]["generation"] > before, "routers take no older split"
        assert deployed.followed == 2 * [{new: 25, old: 75}], "the canary takes its way anew"
        assert [split.revisions[-1].name for split in deployed.splits[-2:]] == 2 * [f"api-{old}"]

    live(story)


def test_a_router_that_is_gone_counts_no_more(deployed: Routed) -> None:
    async def story() -> None:
        old = await deployed.create(**CANARY)
        deployed.is_slow = True
        new = await deployed.offer()
        await deployed.ready(new, 1)
        slow = sorted(deployed.routers)
        deployed.report(slow[0], in_force=2)
        deployed.harness.cluster.remove(deployed.harness.cluster.of_kind("Pod")[slow[1]])
        deployed.is_slow = False
        await deployed.settle()
        assert deployed.followed == 2 * [{new: 25, old: 75}]
        names = [router["name"] for router in deployed.status["rollout"]["routers"]]
        assert names == sorted(deployed.routers) != slow

    live(story)


def test_a_router_pod_that_was_evicted_holds_nothing_up(deployed: Routed) -> None:
    async def story() -> None:
        await deployed.create(**CANARY)
        evicted = deployed._pod("api-router-0") | {"status": {"phase": "Failed", "reason": "Evicted"}}
        deployed.harness.cluster.add(evicted)
        await at_a_quarter(deployed)

    live(story)


def test_a_deployment_is_not_ready_while_its_routers_are_not(deployed: Routed) -> None:
    async def story() -> None:
        await deployed.create(**CANARY)
        deployed.image_is_missing = True
        await deployed.lose_router(min(deployed.routers))
        assert (deployed.condition("Ready"), deployed.status["phase"]) == (("False", "RoutersNotReady"), "Degraded")
        assert deployed.message("Ready").startswith("1 of 2 routers are ready: pod api-router-3: ErrImagePull")
        deployed.image_is_missing = False
        await deployed.settle()
        assert deployed.condition("Ready") == ("True", "AllReady")

    live(story)


def test_another_sticky_header_is_another_generation_and_begins_the_step_anew(deployed: Routed) -> None:
    async def story() -> None:
        await deployed.create(**CANARY)
        old, new = await at_a_quarter(deployed)
        generation = deployed.status["rollout"]["split"]["generation"]
        await deployed.settle(later=300.0)
        await deployed.change(expose={"stickyHeader": "x-user"})
        assert deployed.status["rollout"]["split"]["generation"] == generation + 1
        sticky = [router.split.sticky for router in deployed.routers.values()]
        assert [(found.header, found.salt) for found in sticky if found] == 2 * [("x-user", new)]
        await deployed.settle(later=360.0)
        assert deployed.weights == {new: 25, old: 75}

    live(story)


def test_the_scale_of_a_deployment_is_that_of_its_servers(deployed: Routed) -> None:
    async def story() -> None:
        first = await deployed.create(**CANARY)
        for name in (f"api-{first}", "api-router"):
            cluster = deployed.harness.cluster
            cluster.change(cluster.of_kind("Deployment")[name], status={"replicas": 2, "readyReplicas": 2})
        await deployed.settle()
        assert deployed.status["replicas"] == 2

    live(story)


def test_everything_goes_with_the_deployment(deployed: Routed) -> None:
    async def story() -> None:
        await deployed.create(**CANARY)
        await at_a_quarter(deployed)
        deployed.harness.cluster.remove(deployed.stored)
        await deployed.harness.settle()
        assert {kind for kind, _, _ in deployed.harness.cluster.objects} <= {"Pod"}, "pods go with their ReplicaSets"
        assert deployed.harness.errors == []

    live(story)


def test_a_roll_out_in_which_nothing_is_left_to_do_costs_no_call(deployed: Routed) -> None:
    async def story() -> None:
        await deployed.create(**CANARY)
        await deployed.settle(later=25 * HOUR)
        cluster = deployed.harness.cluster
        before = (len(cluster.writes), cluster.reads)
        await deployed.settle(later=HOUR)
        assert (len(cluster.writes), cluster.reads) == before

    live(story)


def test_a_restart_of_the_operator_writes_nothing_where_nothing_is_to_be_done(deployed: Routed) -> None:
    async def story() -> None:
        await deployed.create(**CANARY)
        await deployed.settle(later=25 * HOUR)
        before = len(deployed.harness.cluster.writes)
        await deployed.restart()
        assert deployed.harness.cluster.writes[before:] == []

    live(story)


WRITES = 24
"""Of a roll-out, and of the way to another strategy after it."""


@pytest.mark.parametrize(
    "write", [pytest.param(number, marks=pytest.mark.full if number % 4 else ()) for number in range(WRITES)]
)
def test_an_operator_that_is_killed_at_any_write_goes_on(deployed: Routed, write: int) -> None:
    async def story() -> None:
        old = await deployed.create(**CANARY)
        cluster = deployed.harness.cluster
        cluster.fail_write = len(cluster.writes) + write

        async def restart_if_killed() -> None:
            if cluster.fail_write is not None and len(cluster.writes) > cluster.fail_write:
                await deployed.restart()

        await deployed.change(batching={"maxBatchSize": 1})
        await restart_if_killed()
        (new,) = set(deployed.revisions) - {old}
        await deployed.ready(new, 1)
        await restart_if_killed()
        await deployed.settle(later=601.0)
        await restart_if_killed()
        await deployed.ready(new, 2)
        await restart_if_killed()
        assert deployed.followed == 2 * [{new: 100}]
        assert (deployed.status["stable"]["revision"], deployed.counts) == (new, {old: 0, new: 2})
        await deployed.change(rollout=RECREATE)
        await restart_if_killed()
        assert cluster.fail_write is None, "the operator was never killed"
        assert (deployed.target, deployed.routers) == (new, {})

    live(story)
