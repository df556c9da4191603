"""Whole roll-outs of a ModelDeployment with `spec.rollout`, on a cluster in memory."""

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


def test_the_first_revision_is_served_as_soon_as_its_servers_are_ready(deployed: Deployed) -> None:
    async def story() -> None:
        first = await deployed.create()
        assert (deployed.status["phase"], deployed.status["ready"], deployed.target) == ("Ready", "2/2", first)
        assert deployed.condition("Ready") == ("True", "AllReady")
        assert deployed.status["rollout"]["phase"] == "Done"

    live(story)


def test_a_new_revision_takes_over_once_all_its_servers_are_ready_and_the_old_one_is_kept(deployed: Deployed) -> None:
    async def story() -> None:
        old = await deployed.create()
        new = await deployed.offer()
        assert deployed.counts == {old: 2, new: 2}
        assert (deployed.status["phase"], deployed.status["canary"]["revision"]) == ("Progressing", new)
        assert deployed.condition("Reconciling") == ("True", "Starting")
        await deployed.ready(new, 1)
        assert deployed.target == old
        await deployed.ready(new, 2)
        assert deployed.target == new
        assert deployed.counts == {old: 0, new: 2}
        assert (deployed.status["stable"]["revision"], deployed.status["phase"]) == (new, "Ready")
        assert deployed.status["rollout"]["phase"] == "Baking"
        await deployed.settle(later=2 * HOUR)
        assert deployed.status["rollout"]["phase"] == "Done"
        assert [found["revision"] for found in deployed.status["revisions"]] == [old, new]

    live(story)


def test_servers_of_the_revision_before_are_kept_for_a_while_where_the_spec_says_so(deployed: Deployed) -> None:
    async def story() -> None:
        old = await deployed.create(rollback={"keepReplicas": 1, "window": "2h"})
        new = await deployed.offer()
        await deployed.ready(new, 2)
        assert deployed.counts == {old: 1, new: 2}
        await deployed.settle(later=3 * HOUR)
        assert deployed.counts == {old: 0, new: 2}

    live(story)


def test_only_so_many_earlier_revisions_are_kept(deployed: Deployed) -> None:
    async def story() -> None:
        await deployed.create(revisionHistoryLimit=1, rollback={"window": "1m", "baking": "0s"})
        for number in (1, 2, 3):
            new = await deployed.offer(number)
            await deployed.ready(new, 2)
            await deployed.settle(later=HOUR)
        assert len(deployed.revisions) == 2
        assert deployed.target in deployed.revisions
        kept = {name.removeprefix("api-") for name in deployed.harness.cluster.of_kind("ConfigMap")}
        assert kept == set(deployed.revisions)

    live(story)


def test_a_revision_can_be_taken_back_when_the_job_that_made_the_model_is_gone(deployed: Deployed) -> None:
    async def story() -> None:
        old = await deployed.create()
        new = await deployed.offer()
        await deployed.ready(new, 2)
        await deployed.change(model={"fineTuneJobRef": {"name": "gone"}})
        assert deployed.condition("ModelAvailable") == ("False", "JobNotFound")
        assert (deployed.target, deployed.status["stable"]["revision"]) == (new, new)
        await deployed.command("roll-back/1")
        await deployed.ready(old, 2)
        assert (deployed.target, deployed.counts) == (old, {old: 2, new: 0})
        assert deployed.condition("ModelAvailable") == ("False", "JobNotFound")

    live(story)


def test_the_number_of_servers_follows_the_spec_without_a_roll_out(deployed: Deployed) -> None:
    async def story() -> None:
        first = await deployed.create()
        await deployed.change(replicas=5)
        assert deployed.counts == {first: 5}
        assert "scale" not in {verb for verb, _, _ in deployed.harness.cluster.writes}, "it is applied as a whole"
        await deployed.change(replicas=0)
        assert deployed.counts == {first: 0}
        assert deployed.status["rollout"]["phase"] == "Done"

    live(story)


def test_a_deployment_without_roll_outs_gets_them_without_a_new_server(deployed: Deployed) -> None:
    async def story() -> None:
        first = await deployed.create()
        plain = {name: value for name, value in deployed.stored["spec"].items() if name != "rollout"}
        deployed.harness.cluster.change(deployed.stored, spec=plain)
        await deployed.settle()
        assert "rollout" not in deployed.status
        await deployed.change(rollout={"strategy": "Recreate"})
        assert (deployed.counts, deployed.target, deployed.status["phase"]) == ({first: 2}, first, "Ready")

    live(story)


def test_the_first_roll_out_knows_what_was_served_before(deployed: Deployed) -> None:
    async def story() -> None:
        first = await deployed.create()
        plain = {name: value for name, value in deployed.stored["spec"].items() if name != "rollout"}
        deployed.harness.cluster.change(deployed.stored, spec=plain)
        await deployed.settle()
        await deployed.change(rollout={"strategy": "Recreate"}, model={"uri": "pvc://models/another"})
        uris = {found["revision"]: found["uri"] for found in deployed.status["revisions"]}
        assert uris.pop(first) == "pvc://models/artifact"
        assert list(uris.values()) == ["pvc://models/another"]

    live(story)


def test_a_roll_out_in_which_nothing_is_left_to_do_costs_no_call(deployed: Deployed) -> None:
    async def story() -> None:
        await deployed.create()
        await deployed.settle(later=25 * HOUR)
        before = (len(deployed.harness.cluster.writes), deployed.harness.cluster.reads)
        await deployed.settle(later=HOUR)
        assert (len(deployed.harness.cluster.writes), deployed.harness.cluster.reads) == before

    live(story)
