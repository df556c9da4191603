"""When a comparator runs beside a roll-out, on a cluster in memory: it comes with a canary that answers, and keeps nothing else back."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from compared_in_memory import ERRORS, STEPS, Compared, with_canary

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine


@pytest.fixture
def deployed() -> Compared:
    return Compared()


def live(story: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(story())


def test_a_canary_has_servers_for_its_share_and_its_copies(deployed: Compared) -> None:
    async def story() -> None:
        old = await deployed.create(replicas=4, steps=STEPS, gates=[ERRORS], shadow={"percent": 50})
        new = await deployed.offer()
        assert deployed.counts == {old: 4, new: 3}

    live(story)


def test_the_comparator_comes_with_a_canary_that_answers_and_goes_with_the_rollout(deployed: Compared) -> None:
    async def story() -> None:
        await deployed.create(replicas=1, steps=STEPS, gates=[ERRORS])
        assert not deployed.comparator_objects
        new = await deployed.offer()
        assert not deployed.comparator_objects, "nobody answers yet"
        await deployed.ready(new, 1)
        kinds = {kind for kind, _ in deployed.comparator_objects}
        assert kinds == {"ConfigMap", "Deployment", "Service", "NetworkPolicy"}
        await deployed.command("promote/1")
        assert deployed.comparator_objects == {("NetworkPolicy", "api-comparator")}

    live(story)


def test_a_revision_that_comes_back_within_the_window_is_not_compared(deployed: Compared) -> None:
    async def story() -> None:
        old = await deployed.create(steps=STEPS, gates=[ERRORS])
        new = await deployed.offer()
        await deployed.ready(new, 2)
        await deployed.command("promote/1")
        await deployed.ready(new, 2)
        assert deployed.rollout["phase"] == "Baking"
        await deployed.change(batching=None)
        await deployed.ready(old, 1)
        assert (deployed.rollout["phase"], deployed.rollout["canary"]) == ("Starting", old)
        assert deployed.comparator_objects == {("NetworkPolicy", "api-comparator")}
        await deployed.ready(old, 2)
        assert (deployed.status["stable"]["revision"], deployed.rollout["previous"]) == (old, new)

    live(story)


def test_a_service_of_somebody_else_keeps_the_comparator_away_and_nothing_else(deployed: Compared) -> None:
    """A ModelDeployment `api-comparator` has a Service of this name."""

    async def story() -> None:
        old = await deployed.create(replicas=1, steps=STEPS, gates=[ERRORS | {"noDataLimit": 1}])
        taken = {"name": "api-comparator", "namespace": "team-a", "labels": {}}
        deployed.harness.cluster.add({"apiVersion": "v1", "kind": "Service", "metadata": taken, "spec": {}})
        new = await deployed.offer()
        await deployed.ready(new, 1)
        assert deployed.weights == {new: 10, old: 90}
        for _ in range(3):
            await deployed.serve(10_000, later=60.0)
        assert (deployed.rollout["phase"], deployed.weights) == ("Held", {old: 100})
        assert "the comparator does not answer yet" in deployed.rollout["message"]
        assert deployed.target == "routers"

    live(story)


def test_another_canary_is_compared_by_another_process(deployed: Compared) -> None:
    async def story() -> None:
        await with_canary(deployed)
        await deployed.serve(2_500)
        first = deployed.comparator
        third = await deployed.offer(7)
        assert deployed.comparator is None, "the third one has no server yet"
        await deployed.ready(third, 1)
        assert first is not None
        assert deployed.comparator is not None
        assert (first.config.canary.name, deployed.comparator.config.canary.name) != (third, first.config.canary.name)
        assert deployed.comparator.config.canary.name == third
        assert len([name for kind, name in deployed.comparator_objects if kind == "ConfigMap"]) == 1

    live(story)


def test_without_gates_nothing_is_compared(deployed: Compared) -> None:
    async def story() -> None:
        await with_canary(deployed, gates=None, steps=[{"weight": 10, "minDuration": "1h"}])
        assert not deployed.comparator_objects
        assert deployed.followed[0]
        assert "shadow" not in deployed.rollout["split"]

    live(story)
