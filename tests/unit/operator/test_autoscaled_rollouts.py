"""A ModelDeployment with `spec.autoscaling`: who sets the number of servers of which revision, while revisions take over from each other."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from autoscaled_in_memory import LIMITS, Autoscaled

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

CANARY = {"strategy": "Canary", "steps": [{"weight": 25, "minDuration": "10m"}, {"weight": 50, "pause": True}]}


@pytest.fixture
def deployed() -> Autoscaled:
    return Autoscaled()


def live(story: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(story())


@pytest.mark.parametrize("rollout", [CANARY, {"strategy": "Recreate"}, None], ids=["routers", "Recreate", "none"])
def test_a_deployment_begins_with_its_least_servers_and_its_autoscaler_goes_on(
    deployed: Autoscaled, rollout: dict[str, Any] | None
) -> None:
    async def story() -> None:
        revision = await deployed.begin(rollout=rollout)
        assert (deployed.counts, deployed.aim, deployed.limits) == ({revision: 2}, revision, (2, 8))
        await deployed.autoscale(revision, 5)
        assert (deployed.counts, deployed.status["ready"]) == ({revision: 5}, "5/5")
        await deployed.autoscale(revision, 2)
        assert (deployed.counts, deployed.limits) == ({revision: 2}, (2, 8))

    live(story)


def test_a_canary_has_its_share_of_what_stable_has_now_and_all_of_it_before_it_gets_all_requests(
    deployed: Autoscaled,
) -> None:
    async def story() -> None:
        old = await deployed.begin(rollout=CANARY)
        await deployed.autoscale(old, 6)
        new = await deployed.offer()
        assert (deployed.counts, deployed.aim, deployed.limits) == ({old: 6, new: 2}, old, (6, 8))
        await deployed.ready(new, 2)
        await deployed.settle(later=601.0)
        assert deployed.counts == {old: 6, new: 3}
        await deployed.ready(new, 3)
        await deployed.autoscale(old, 7)
        assert deployed.counts == {old: 7, new: 4}
        await deployed.ready(new, 4)
        await deployed.command("approve/1")
        assert (deployed.counts, deployed.aim) == ({old: 7, new: 7}, old), "as many as stable has, before all requests"
        await deployed.ready(new, 7)
        assert (deployed.status["stable"]["revision"], deployed.aim, deployed.limits) == (new, new, (2, 8))
        assert deployed.counts == {old: 0, new: 7}

    live(story)


def test_the_operator_writes_no_number_of_servers_that_the_autoscaler_owns(deployed: Autoscaled) -> None:
    """Also where it must mend the Deployment: an apply without the number would take it back, and one server would be left."""

    async def story() -> None:
        revision = await deployed.begin(rollout=CANARY)
        cluster, servers = deployed.harness.cluster, deployed.servers(revision)
        template = servers["spec"]["template"]["spec"] | {"serviceAccountName": "strange", "enableServiceLinks": True}
        before = len(cluster.writes)
        cluster.change(servers, spec=servers["spec"] | {"template": servers["spec"]["template"] | {"spec": template}})
        await deployed.settle()
        assert deployed.servers(revision)["spec"]["template"]["spec"]["enableServiceLinks"] is False
        assert deployed.counts == {revision: 2}
        mended = [verb for verb, kind, _ in cluster.writes[before:] if kind == "Deployment"]
        assert mended == ["keep_replicas", "apply"], "the number is handed over once, before it is left out"
        await deployed.autoscale(revision, 5)
        cluster.change(
            deployed.servers(revision), spec=deployed.servers(revision)["spec"] | {"progressDeadlineSeconds": 1}
        )
        await deployed.settle()
        assert deployed.counts == {revision: 5}
        assert ("scale", "Deployment", f"api-{revision}") not in cluster.writes

    live(story)


def test_a_rejected_canary_ends_and_never_starts_again_however_much_stable_grows(deployed: Autoscaled) -> None:
    async def story() -> None:
        old = await deployed.begin(rollout=CANARY)
        new = await deployed.offer()
        await deployed.ready(new, 1)
        await deployed.command("abort/1")
        assert (deployed.counts, deployed.aim, deployed.limits) == ({old: 2, new: 0}, old, (2, 8))
        for count in (8, 3, 6):
            await deployed.autoscale(old, count)
            assert deployed.counts == {old: count, new: 0}
        await deployed.restart()
        assert deployed.counts == {old: 6, new: 0}

    live(story)


def test_a_revision_that_comes_back_has_as_many_servers_as_there_are_now(deployed: Autoscaled) -> None:
    async def story() -> None:
        old = await deployed.begin(rollout={"strategy": "BlueGreen"})
        new = await deployed.offer()
        await deployed.ready(new, 2)
        assert (deployed.aim, deployed.counts) == (new, {old: 0, new: 2})
        await deployed.autoscale(new, 6)
        await deployed.command("roll-back/1")
        assert (deployed.aim, deployed.counts, deployed.limits) == (new, {old: 6, new: 6}, (6, 8))
        await deployed.ready(old, 6)
        assert (deployed.aim, deployed.counts, deployed.limits) == (old, {old: 6, new: 0}, (2, 8))

    live(story)


def test_without_a_roll_out_a_new_revision_begins_with_as_many_servers_as_the_old_one_has(deployed: Autoscaled) -> None:
    async def story() -> None:
        old = await deployed.begin(rollout=None)
        await deployed.autoscale(old, 6)
        new = await deployed.offer()
        assert (deployed.aim, deployed.counts, deployed.limits) == (old, {old: 6, new: 6}, (6, 8))
        await deployed.ready(new, 6)
        assert (deployed.aim, deployed.counts, deployed.limits) == (new, {new: 6}, (2, 8))

    live(story)


def test_each_revision_with_several_servers_has_a_budget_however_they_came(deployed: Autoscaled) -> None:
    async def story() -> None:
        revision = await deployed.begin(rollout=CANARY, autoscaling={"max": 3})
        budgets = deployed.harness.cluster.of_kind("PodDisruptionBudget")
        assert set(budgets) == {"api-router"}, "there may be a second server, so that there is a second router"
        await deployed.autoscale(revision, 2)
        assert set(deployed.harness.cluster.of_kind("PodDisruptionBudget")) == {"api-router", f"api-{revision}"}

    live(story)


def test_a_number_that_a_person_names_again_ends_the_autoscaler(deployed: Autoscaled) -> None:
    async def story() -> None:
        revision = await deployed.begin(rollout=CANARY)
        await deployed.autoscale(revision, 6)
        spec = {name: value for name, value in deployed.stored["spec"].items() if name != "autoscaling"}
        deployed.harness.cluster.change(deployed.stored, spec=spec | {"replicas": 3})
        await deployed.settle()
        assert (deployed.autoscaler, deployed.counts) == (None, {revision: 3})

    live(story)


def test_an_autoscaler_wakes_up_a_deployment_that_slept(deployed: Autoscaled) -> None:
    """No autoscaler touches a Deployment without servers."""

    async def story() -> None:
        revision = await deployed.begin(rollout=CANARY, autoscaling=None, replicas=2)
        await deployed.change(replicas=0)
        assert (deployed.counts, deployed.condition("Ready")) == ({revision: 0}, ("True", "ScaledToZero"))
        spec = {name: value for name, value in deployed.stored["spec"].items() if name != "replicas"}
        deployed.harness.cluster.change(deployed.stored, spec=spec | {"autoscaling": LIMITS})
        await deployed.settle()
        assert (deployed.counts, deployed.aim) == ({revision: 2}, revision)

    live(story)


def test_other_limits_ask_for_no_other_revision_and_offer_no_rejected_one_again(deployed: Autoscaled) -> None:
    async def story() -> None:
        old = await deployed.begin(rollout=CANARY)
        new = await deployed.offer()
        await deployed.ready(new, 1)
        await deployed.command("abort/1")
        await deployed.change(autoscaling={"min": 3, "max": 20})
        assert (sorted(deployed.revisions), deployed.weights) == (sorted([old, new]), {old: 100})
        assert ("canary" in deployed.status, deployed.counts[new]) == (False, 0)
        assert deployed.limits == (3, 20)

    live(story)


def test_people_read_why_the_autoscaler_does_nothing(deployed: Autoscaled) -> None:
    async def story() -> None:
        await deployed.begin(rollout=CANARY)
        assert deployed.condition("ScalingActive") == ("Unknown", "NotObserved")
        reason, message = "FailedGetContainerResourceMetric", "no metrics returned from resource metrics API"
        await deployed.say(AbleToScale=("True", "SucceededGetScale", ""), ScalingActive=("False", reason, message))
        assert deployed.condition("ScalingActive") == ("False", reason)
        assert deployed.message("ScalingActive").startswith(f"{message}; signal CPU needs a metrics server")
        assert deployed.condition("Ready") == ("True", "AllReady"), "the least servers answer"
        await deployed.say(ScalingActive=("True", "ValidMetricFound", "fine"))
        assert deployed.condition("ScalingActive") == ("True", "ValidMetricFound")
        await deployed.say(
            AbleToScale=("False", "FailedGetScale", "no such Deployment"), ScalingActive=("True", "a", "b")
        )
        assert deployed.condition("ScalingActive") == ("False", "FailedGetScale")

    live(story)


def test_a_deployment_stays_ready_while_further_servers_load(deployed: Autoscaled) -> None:
    async def story() -> None:
        revision = await deployed.begin(rollout=CANARY)
        deployed.set_number(6)
        await deployed.settle()
        assert (deployed.condition("Ready"), deployed.status["ready"]) == (("True", "AllReady"), "2/6")
        await deployed.ready(revision, 1)
        assert deployed.status["phase"] == "Degraded"

    live(story)
