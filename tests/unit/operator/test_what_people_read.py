"""What a person reads where no model is trained again, or none takes over: status, condition, event, `explain`, and the metric of the alert."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from operator_harness import SPEC
from prometheus_client.parser import text_string_to_metric_families
from retrained_in_memory import DAY, Retrained

from tuneloop_cli.views.retraining import retraining_story
from tuneloop_operator.controller.controllers import metrics_of

Life = Callable[[], Awaitable[Retrained]]


async def rejected() -> Retrained:
    deployed = Retrained()
    first = await deployed.begin()
    await deployed.ask()
    await deployed.train("d2")
    (new,) = set(deployed.revisions) - {first}
    await deployed.overdue(new)
    await deployed.settle(later=60.0)
    await deployed.ask()
    return deployed


async def the_same_data() -> Retrained:
    deployed = await rejected()
    await deployed.settle(later=3 * DAY)
    await deployed.prepare("d2")
    await deployed.ask()
    return deployed


async def spent() -> Retrained:
    deployed = Retrained()
    await deployed.begin(budget={"maxRuns": 1, "window": "10d"})
    await deployed.retrain("d2")
    await deployed.settle(later=1.1 * DAY)
    await deployed.ask()
    return deployed


BLOCKED: dict[str, tuple[Life, str]] = {
    "Cooldown": (rejected, "ended as Rejected, setback 1 in a row; until 2026-01-"),
    "NoNewData": (the_same_data, "has learned from"),
    "Budget": (spent, "blocked: 1 runs in 10 days, budget.maxRuns is 1; until 2026-01-"),
}


@pytest.mark.parametrize("reason", BLOCKED)
def test_a_loop_that_is_blocked_says_so_in_every_place(reason: str) -> None:
    begin, says = BLOCKED[reason]

    async def life() -> None:
        deployed = await begin()
        assert deployed.place == ("Blocked", reason)
        assert deployed.condition("RetrainingBlocked") == ("True", reason)
        assert retraining_story(deployed.stored).startswith(f"Blocked ({reason}): manual fires: ")
        assert says in retraining_story(deployed.stored)
        event = [found for found in deployed.harness.events if found.reason == "RetrainingBlocked"][-1]
        assert (event.type, says in event.message) == ("Warning", True)
        store = deployed.harness.operator.store
        families = text_string_to_metric_families(metrics_of(store, now=deployed.harness.now))
        samples = [
            sample for family in families for sample in family.samples if sample.name == "tuneloop_retrain_blocked"
        ]
        assert [sample.labels["reason"] for sample in samples] == [reason]

    asyncio.run(life())


async def without_a_source() -> Retrained:
    deployed = Retrained()
    await deployed.begin(enabled=False)
    template = deployed.harness.job("reviews")
    data = {"train": [{"uri": "pvc://models/a", "limit": 10}]}
    deployed.harness.cluster.change(template, spec=template["spec"] | {"data": data})
    await deployed.change(retraining=deployed.stored["spec"]["retraining"] | {"enabled": True})
    return deployed


async def in_a_circle() -> Retrained:
    deployed = Retrained()
    await deployed.begin(enabled=False)
    kept = {"storeInputs": "all", "storage": {"claim": "labels"}}
    loop = {"enabled": True, "jobTemplateRef": {"name": "reviews"}}
    manifest = {"apiVersion": "tuneloop.dev/v1alpha1", "kind": "ModelDeployment"}
    other = {
        "model": {"fineTuneJobRef": {"name": "to-come"}},
        "rollout": {"strategy": "Recreate"},
        "feedback": kept,
        "retraining": loop | {"data": [{"uri": "feedback://api"}]},
    }
    deployed.harness.cluster.add(manifest | {"metadata": {"name": "other", "namespace": "team-a"}, "spec": other})
    await deployed.change(feedback=kept, retraining=loop | {"data": [{"uri": "feedback://other"}]})
    return deployed


REFUSED: dict[str, tuple[Life, str]] = {
    "RetrainingHasNoDataSource": (without_a_source, "a source that can grow is needed"),
    "CycleDetected": (in_a_circle, "api <- other <- api"),
}


@pytest.mark.parametrize("reason", REFUSED)
def test_a_loop_that_is_refused_says_so_and_trains_nothing_whatever_is_asked(reason: str) -> None:
    begin, says = REFUSED[reason]

    async def life() -> None:
        deployed = await begin()
        await deployed.ask()
        assert deployed.condition("Accepted") == ("False", reason)
        assert says in deployed.message("Accepted")
        assert retraining_story(deployed.stored).startswith(f"Refused ({reason}): ")
        assert says in retraining_story(deployed.stored)
        assert deployed.created == []

    asyncio.run(life())


def test_a_spec_that_is_accepted_again_has_the_story_of_its_loop_again() -> None:
    async def life() -> None:
        deployed = await without_a_source()
        template = deployed.harness.job("reviews")
        deployed.harness.cluster.change(template, spec=template["spec"] | {"data": SPEC["data"]})
        await deployed.settle(later=60.0)
        assert retraining_story(deployed.stored) == "Idle: no trigger fires"

    asyncio.run(life())
