"""A deployment whose access is limited: its requests go by routers alone, with every strategy and with none, and no revision comes of it."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from desired_pods import a_deployment
from observed_jobs import NOW, SETTINGS
from routed_in_memory import Routed

from tuneloop_operator.decide.decision import Decision, MountFailures
from tuneloop_operator.decide.model_deployment.deployment import decide
from tuneloop_operator.desired.model_deployment.service import routed_service
from tuneloop_operator.state.observed import ObservedDeployment, RouterPod

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

KEY = {"apiKeySecretRef": {"name": "clients", "key": "api-keys"}}
RATE = {"rateLimit": {"requestsPerSecond": 10}}
MISSING = 'MountVolume.SetUp failed for volume "api-keys" : secret "clients" not found'


@pytest.fixture
def deployed() -> Routed:
    return Routed()


def live(story: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(story())


def sources(deployed: Routed) -> list[list[str] | None]:
    """Return who may ask the servers for a prediction, and for metrics: components of the deployment, or None for everybody."""
    policy = deployed.harness.cluster.of_kind("NetworkPolicy")["api-servers"]
    return [
        [peer["podSelector"]["matchLabels"]["tuneloop.dev/component"] for peer in rule["from"]]
        if "from" in rule
        else None
        for rule in policy["spec"]["ingress"]
    ]


CLOSED, OPEN = [["router", "comparator"], None], [None]


@pytest.mark.parametrize("strategy", ["Recreate", "Canary", "BlueGreen"])
def test_with_a_key_the_service_never_leads_to_a_server(deployed: Routed, strategy: str) -> None:
    async def story() -> None:
        deployed.besides = {"access": KEY}
        first = await deployed.create(strategy=strategy)
        assert (deployed.targets, deployed.followed) == (["routers"], 2 * [{first: 100}])
        assert all(split.limits.api_key for split in deployed.splits)
        new = await deployed.offer()
        await deployed.ready(new, 2)
        if strategy == "Recreate":
            assert deployed.status["stable"]["revision"] == new
        assert deployed.targets == ["routers"]
        assert sources(deployed) == CLOSED

    live(story)


def test_a_deployment_without_a_roll_out_is_served_as_with_recreate(deployed: Routed) -> None:
    async def story() -> None:
        deployed.besides = {"access": KEY, "rollout": None}
        first = await deployed.create()
        assert (deployed.target, deployed.followed) == ("routers", 2 * [{first: 100}])
        assert deployed.status["rollout"]["strategy"] == "Recreate"
        new = await deployed.offer()
        await deployed.ready(new, 2)
        assert (deployed.status["stable"]["revision"], deployed.followed) == (new, 2 * [{new: 100}])
        await deployed.change(access={})
        assert (deployed.targets, deployed.routers) == (["routers", new], {})
        assert sources(deployed) == OPEN

    live(story)


def test_a_key_closes_an_open_deployment_at_once_and_makes_no_revision(deployed: Routed) -> None:
    async def story() -> None:
        first = await deployed.create(strategy="Recreate")
        assert (deployed.target, sources(deployed)) == (first, OPEN)
        deployed.image_is_missing = True
        await deployed.change(access=KEY)
        assert (deployed.target, deployed.routers, sources(deployed)) == ("routers", {}, CLOSED)
        deployed.image_is_missing = False
        await deployed.settle()
        assert (deployed.followed, deployed.revisions) == (2 * [{first: 100}], [first])
        assert [router.split.limits.api_key for router in deployed.routers.values()] == [True, True]

    live(story)


def test_a_secret_that_is_missing_is_named_with_its_key() -> None:
    def decided(mount_failure: str | None) -> Decision:
        pod = RouterPod(
            name="r",
            uid="u",
            created=NOW - timedelta(seconds=20),
            waiting="ContainerCreating",
            mount_failure=mount_failure,
        )
        deployment = a_deployment(model={"uri": "pvc://models/artifact"}, access=KEY)
        routed = {("Service", "reviews"): routed_service(deployment, stable="5a")}
        observed = ObservedDeployment(deployment=deployment, manifest={}, present=routed, router_pods=(pod,))
        return decide(observed, now=NOW, settings=SETTINGS)

    assert decided(None).needs == MountFailures(pod_uids=("u",))
    status = decided(MISSING).status
    assert status is not None
    (ready,) = [found for found in status["conditions"] if found["type"] == "Ready"]
    assert (ready["status"], ready["reason"]) == ("False", "RoutersNotReady")
    assert ready["message"].startswith(
        f"0 of 1 routers are ready: pod r: {MISSING}; spec.access.apiKeySecretRef: Secret clients with key api-keys is needed"
    )


def test_a_rate_alone_leaves_the_service_with_the_servers_until_a_router_follows(deployed: Routed) -> None:
    async def story() -> None:
        first = await deployed.create(strategy="Recreate")
        deployed.image_is_missing = True
        await deployed.change(access=RATE)
        assert (deployed.target, sources(deployed)) == (first, OPEN)
        deployed.image_is_missing = False
        await deployed.settle()
        assert (deployed.target, sources(deployed)) == ("routers", CLOSED)
        rates = [router.split.limits.rate_limit for router in deployed.routers.values()]
        assert [rate.requests_per_second for rate in rates if rate] == [5, 5]

    live(story)


def test_other_limits_are_another_generation_and_neither_revision_nor_router(deployed: Routed) -> None:
    async def story() -> None:
        deployed.besides = {"access": RATE}
        first = await deployed.create(strategy="Canary")
        generation, routers = deployed.status["rollout"]["split"]["generation"], set(deployed.routers)
        await deployed.change(access={"rateLimit": {"requestsPerSecond": 50}})
        assert deployed.status["rollout"]["split"]["generation"] == generation + 1
        assert (set(deployed.routers), deployed.revisions) == (routers, [first])
        limits = [router.split.limits.rate_limit for router in deployed.routers.values()]
        assert [limit.requests_per_second for limit in limits if limit] == [25, 25]

    live(story)


def test_a_user_may_open_the_servers_beside_the_routers(deployed: Routed) -> None:
    async def story() -> None:
        deployed.besides = {"access": KEY | {"networkPolicy": False}}
        await deployed.create(strategy="Canary")
        assert (deployed.target, sources(deployed)) == ("routers", OPEN)

    live(story)
