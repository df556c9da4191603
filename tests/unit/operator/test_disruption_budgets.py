"""Which revisions and routers have a budget in a roll-out, and that an upgrade of the operator replaces no server for the sake of its node."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from routed_in_memory import Routed

from tuneloop_api.wire.model import changed

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

CANARY = {"strategy": "Canary", "steps": [{"weight": 25, "minDuration": "10m"}, {"weight": 100}]}
NO_WAY_BACK = {"rollback": {"baking": "0s", "window": "1s"}, "revisionHistoryLimit": 1}


@pytest.fixture
def deployed() -> Routed:
    return Routed()


def live(story: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(story())


def budgets(deployed: Routed) -> set[str]:
    """Return for whom there is a budget: revisions, and `router`."""
    return {name.removeprefix("api-") for name in deployed.harness.cluster.of_kind("PodDisruptionBudget")}


def test_a_canary_gets_its_budget_with_its_second_server_and_the_old_one_goes_with_its_revision(
    deployed: Routed,
) -> None:
    async def story() -> None:
        old = await deployed.create(replicas=2, **CANARY | NO_WAY_BACK)
        assert budgets(deployed) == {old, "router"}
        new = await deployed.offer()
        await deployed.ready(new, 1)
        assert (deployed.counts, budgets(deployed)) == ({old: 2, new: 1}, {old, "router"})
        await deployed.settle(later=601.0)
        assert (deployed.counts[new], budgets(deployed)) == (2, {old, new, "router"})
        await deployed.ready(new, 2)
        await deployed.settle(later=60.0)
        await deployed.offer(2)
        assert (old in deployed.revisions, budgets(deployed)) == (True, {old, new, "router"})
        await deployed.offer(3)
        assert (old in deployed.revisions, budgets(deployed)) == (False, {new, "router"})

    live(story)


def test_stable_gets_one_in_the_midst_of_a_roll_out_when_it_is_scaled(deployed: Routed) -> None:
    async def story() -> None:
        old = await deployed.create(replicas=1, **CANARY)
        new = await deployed.offer()
        await deployed.ready(new, 1)
        assert budgets(deployed) == set()
        await deployed.change(replicas=3)
        assert (deployed.counts, budgets(deployed)) == ({old: 3, new: 1}, {old, "router"})

    live(story)


def test_the_budget_of_routers_goes_with_them(deployed: Routed) -> None:
    async def story() -> None:
        revision = await deployed.create(replicas=2, **CANARY)
        await deployed.change(rollout={"strategy": "Recreate"})
        assert budgets(deployed) == {revision}

    live(story)


def test_a_budget_that_somebody_deletes_or_changes_is_restored(deployed: Routed) -> None:
    async def story() -> None:
        revision = await deployed.create(replicas=2, **CANARY)
        cluster = deployed.harness.cluster
        cluster.remove(cluster.of_kind("PodDisruptionBudget")["api-router"])
        own = cluster.of_kind("PodDisruptionBudget")[f"api-{revision}"]
        cluster.change(own, spec=own["spec"] | {"maxUnavailable": 0})
        await deployed.settle()
        assert budgets(deployed) == {revision, "router"}
        assert cluster.of_kind("PodDisruptionBudget")[f"api-{revision}"]["spec"]["maxUnavailable"] == 1

    live(story)


@pytest.mark.parametrize("rollout", [CANARY, None], ids=["with routers", "without a roll-out"])
def test_an_administrator_who_has_other_budgets_gets_none_of_ours(
    deployed: Routed, rollout: dict[str, Any] | None
) -> None:
    async def story() -> None:
        await deployed.create(replicas=2, **CANARY)
        plain = {name: value for name, value in deployed.stored["spec"].items() if name != "rollout"}
        deployed.harness.cluster.change(deployed.stored, spec=plain | ({"rollout": rollout} if rollout else {}))
        await deployed.settle()
        assert budgets(deployed) != set()
        deployed.harness.settings = changed(deployed.harness.settings, disruption_budgets=False)
        await deployed.restart()
        assert budgets(deployed) == set()

    live(story)


def test_servers_that_an_earlier_release_did_not_spread_stay_where_they_are(deployed: Routed) -> None:
    async def story() -> None:
        revision = await deployed.create(replicas=2, **CANARY)
        cluster = deployed.harness.cluster
        servers = deployed.servers(revision)
        pod = {key: value for key, value in servers["spec"]["template"]["spec"].items() if "Spread" not in key}
        before = servers["spec"] | {"template": servers["spec"]["template"] | {"spec": pod}}
        cluster.change(servers, spec=before)
        await deployed.restart()
        assert deployed.servers(revision)["spec"] == before
        new = await deployed.offer()
        assert "topologySpreadConstraints" in deployed.servers(new)["spec"]["template"]["spec"]

    live(story)


def test_a_deployment_that_begins_asleep_wakes_up_behind_its_router(deployed: Routed) -> None:
    async def story() -> None:
        revision = await deployed.create(replicas=0, **CANARY)
        assert (deployed.counts, deployed.status["phase"], len(deployed.routers)) == ({revision: 0}, "Ready", 1)
        await deployed.change(replicas=2)
        await deployed.ready(revision, 2)
        assert (deployed.target, deployed.followed) == ("routers", 2 * [{revision: 100}])
        assert (deployed.status["stable"]["revision"], deployed.condition("Ready")) == (revision, ("True", "AllReady"))

    live(story)


def test_a_revision_that_is_offered_to_a_deployment_that_sleeps_takes_its_steps_when_it_wakes_up(
    deployed: Routed,
) -> None:
    async def story() -> None:
        old = await deployed.create(replicas=2, **CANARY)
        await deployed.change(replicas=0)
        new = await deployed.offer()
        assert (deployed.counts, deployed.weights) == ({old: 0, new: 0}, {old: 100})
        assert (deployed.condition("Ready"), deployed.condition("Reconciling")) == (("True", "ScaledToZero"), None)
        await deployed.change(replicas=2)
        await deployed.ready(old, 2)
        await deployed.ready(new, 1)
        assert deployed.weights == {new: 25, old: 75}

    live(story)


def test_a_deployment_that_sleeps_keeps_one_router_and_nothing_fails_when_it_wakes_up(deployed: Routed) -> None:
    async def story() -> None:
        revision = await deployed.create(replicas=2, **CANARY)
        await deployed.change(replicas=0)
        assert (deployed.counts, deployed.status["phase"], len(deployed.routers)) == ({revision: 0}, "Ready", 1)
        assert deployed.target == "routers"
        await deployed.change(replicas=2)
        await deployed.ready(revision, 2)
        assert (deployed.followed, deployed.condition("Ready")) == (2 * [{revision: 100}], ("True", "AllReady"))

    live(story)
