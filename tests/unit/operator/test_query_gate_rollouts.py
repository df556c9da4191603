"""Roll-outs that a query judges, on a cluster in memory: minutes pass, and Prometheus answers as the test says."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Any

import pytest
from query_walks import BROKEN, number
from routed_in_memory import Routed

from tuneloop_operator.controller.queries import Queries

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from tuneloop_operator.prometheus.answer import Answer

QUERY = 'max(load{deployment="{{deployment}}",revision="{{revision}}"})'
STABLE_GATE = {"name": "beside", "query": QUERY, "margin": 0.1}
ABSOLUTE_GATE = STABLE_GATE | {"name": "alone", "compare": "Absolute", "margin": 0.9}
STEPS = [{"weight": 25}, {"weight": 100}]


class Judged:
    """A deployment, and a Prometheus that has a number for each revision."""

    def __init__(self) -> None:
        self.deployed = Routed()
        self.numbers: dict[str, Answer] = {}

    async def ask(self, query: str) -> Answer:
        (revision,) = re.findall(r'revision="(\w+)"', query)
        return self.numbers[revision]

    async def minutes(self, count: int) -> None:
        """Let minutes pass, each with a round of questions at its end."""
        for _ in range(count):
            await self.deployed.settle(later=60.0)
            operator = self.deployed.harness.operator
            queries = Queries(operator, ask=self.ask, clock=lambda: self.deployed.harness.now)
            async with asyncio.TaskGroup() as group:
                await queries.begin_round(group)
            await self.deployed.settle()

    async def canary(self, *gates: dict[str, Any]) -> tuple[str, str]:
        """Return stable, and a canary that has just got its first share."""
        old = await self.deployed.create(replicas=1, steps=STEPS, gates=[*gates])
        new = await self.deployed.offer()
        self.numbers = {old: number(0.5), new: number(0.5)}
        await self.deployed.ready(new, 1)
        assert self.weights == {new: 25, old: 75}
        return old, new

    @property
    def weights(self) -> dict[str, int]:
        (found,) = {tuple(followed.items()) for followed in self.deployed.followed}
        return dict(found)

    @property
    def rollout(self) -> dict[str, Any]:
        found: dict[str, Any] = self.deployed.status["rollout"]
        return found


@pytest.fixture
def judged() -> Judged:
    return Judged()


def live(story: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(story())


def test_a_canary_that_is_no_worse_is_promoted_after_three_numbers_a_step(judged: Judged) -> None:
    async def story() -> None:
        old, new = await judged.canary(STABLE_GATE, ABSOLUTE_GATE)
        await judged.minutes(2)
        assert judged.weights == {new: 25, old: 75}
        await judged.minutes(1)
        assert judged.weights == {new: 100}
        await judged.minutes(2)
        assert judged.rollout["phase"] == "Progressing"
        await judged.minutes(1)
        assert (judged.rollout["phase"], judged.rollout["stable"]) == ("Baking", new)

    live(story)


def test_a_canary_that_is_worse_is_rejected_with_its_numbers(judged: Judged) -> None:
    async def story() -> None:
        old, new = await judged.canary(STABLE_GATE)
        judged.numbers[new] = number(0.75)
        await judged.minutes(3)
        assert judged.weights == {old: 100}
        (rejected,) = judged.rollout["rejected"]
        assert (rejected["revision"], rejected["reason"]) == (new, "GateFailed")
        assert "canary 0.75, stable 0.5: the difference is more than the margin 0.1" in rejected["message"]

    live(story)


def test_a_spike_rolls_nothing_back(judged: Judged) -> None:
    async def story() -> None:
        old, new = await judged.canary(STABLE_GATE)
        await judged.minutes(2)
        judged.numbers[new] = number(50.0)
        await judged.minutes(1)
        judged.numbers[new] = number(0.5)
        await judged.minutes(2)
        assert judged.weights == {new: 25, old: 75}
        await judged.minutes(1)
        assert judged.weights == {new: 100}

    live(story)


def test_a_prometheus_that_is_away_takes_the_requests_back_and_waits_for_a_person(judged: Judged) -> None:
    async def story() -> None:
        old, new = await judged.canary(STABLE_GATE)
        judged.numbers[new] = BROKEN
        await judged.minutes(6)
        assert (judged.rollout["phase"], judged.weights) == ("Held", {old: 100})
        assert "gate beside had an error 5 times in a row" in judged.rollout["message"]
        assert "rejected" not in judged.rollout
        assert new

    live(story)


def test_numbers_that_counted_outlive_the_operator(judged: Judged) -> None:
    async def story() -> None:
        old, new = await judged.canary(STABLE_GATE)
        await judged.minutes(2)
        await judged.deployed.restart()
        assert judged.weights == {new: 25, old: 75}
        await judged.minutes(1)
        assert judged.weights == {new: 100}

    live(story)


def test_harm_while_baking_brings_the_revision_before_back(judged: Judged) -> None:
    async def story() -> None:
        old, new = await judged.canary(STABLE_GATE, ABSOLUTE_GATE)
        await judged.minutes(6)
        assert judged.rollout["phase"] == "Baking"
        judged.numbers[new] = BROKEN
        await judged.minutes(10)
        assert judged.rollout["phase"] == "Baking", "what cannot be read is no harm"
        judged.numbers[new] = number(0.95)
        await judged.minutes(2)
        assert judged.rollout["phase"] == "Baking"
        await judged.minutes(1)
        assert judged.rollout["phase"] == "Reverting"
        await judged.deployed.ready(old, 1)
        assert judged.weights == {old: 100}
        assert judged.rollout["rejected"][0]["revision"] == new

    live(story)


def test_a_gate_on_trial_is_shown_and_nothing_follows(judged: Judged) -> None:
    async def story() -> None:
        _old, new = await judged.canary(STABLE_GATE, STABLE_GATE | {"name": "strict", "margin": 0.01, "dryRun": True})
        judged.numbers[new] = number(0.55)
        await judged.minutes(2)
        trial = next(gate for gate in judged.rollout["gates"] if gate["name"] == "strict")
        assert (trial["verdict"], trial["action"]) == ("Inconclusive", "Advance")
        assert trial["reason"].startswith("on trial: canary 0.55, stable 0.5")
        await judged.minutes(1)
        assert judged.weights == {new: 100}
        assert "rejected" not in judged.rollout

    live(story)


def test_a_query_that_cannot_be_asked_is_not_accepted(judged: Judged) -> None:
    async def story() -> None:
        await judged.canary(STABLE_GATE)
        broken = STABLE_GATE | {"query": 'up{revision="{{revision}}"}[$__interval]'}
        await judged.deployed.change(rollout={"gates": [broken]})
        assert judged.deployed.condition("Accepted") == ("False", "InvalidQuery")
        assert "spec.rollout.gates[0].query" in judged.deployed.message("Accepted")

    live(story)
