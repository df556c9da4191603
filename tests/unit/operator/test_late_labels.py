"""Late labels gate the baking: when they are asked for, of which revisions, and what follows. On a cluster in memory, where Prometheus answers as the test says."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from query_walks import BROKEN, EMPTY, number
from routed_in_memory import Routed

from tuneloop_operator.controller.queries import Queries

if TYPE_CHECKING:
    from tuneloop_operator.prometheus.answer import Answer

GATE = {"name": "late", "metric": "FeedbackAccuracy", "margin": 0.02}
ROLLBACK = {"baking": "3d", "window": "7d"}


class Baking:
    """A promoted revision that bakes, and a Prometheus with one answer."""

    def __init__(self) -> None:
        self.deployed = Routed()
        self.deployed.besides = {"feedback": {"labelDelay": "12h"}}
        self.answer: Answer = EMPTY
        self.asked: list[str] = []

    async def ask(self, query: str) -> Answer:
        self.asked.append(query)
        return self.answer

    async def minutes(self, count: int) -> None:
        for _ in range(count):
            await self.deployed.settle(later=60.0)
            operator = self.deployed.harness.operator
            async with asyncio.TaskGroup() as group:
                queries = Queries(operator, ask=self.ask, clock=lambda: self.deployed.harness.now)
                await queries.begin_round(group)
            await self.deployed.settle()

    async def begin(self, **rollout: Any) -> tuple[str, str]:
        """Return the revision before, and the one that bakes."""
        rollout = {"steps": [{"weight": 50, "minDuration": "5m"}], "gates": [GATE], "rollback": ROLLBACK} | rollout
        old = await self.deployed.create(replicas=1, **rollout)
        new = await self.deployed.offer()
        await self.deployed.ready(new, 1)
        await self.minutes(4)
        assert (self.rollout["phase"], self.asked) == ("Progressing", [])
        await self.deployed.settle(later=60.0)
        assert self.rollout["phase"] == "Baking"
        return old, new

    @property
    def rollout(self) -> dict[str, Any]:
        found: dict[str, Any] = self.deployed.status["rollout"]
        return found

    @property
    def gate(self) -> dict[str, Any]:
        (found,) = self.rollout["gates"]
        return dict(found)


def test_before_the_promotion_nothing_is_asked_and_nothing_waits() -> None:
    async def story() -> None:
        baking = Baking()
        await baking.begin(gates=[GATE | {"noDataLimit": 1, "errorLimit": 1}])
        assert baking.asked == []

    asyncio.run(story())


def test_while_baking_both_revisions_are_asked_about_by_name() -> None:
    async def story() -> None:
        baking = Baking()
        old, new = await baking.begin()
        await baking.minutes(2)
        assert f'revision="{old}"' in baking.asked[0]
        assert f'revision="{new}"' in baking.asked[0]
        assert 'namespace="team-a",deployment="api"' in baking.asked[0]
        assert "{{" not in baking.asked[0]

    asyncio.run(story())


def test_too_few_labels_are_no_data_and_end_nothing() -> None:
    async def story() -> None:
        baking = Baking()
        await baking.begin()
        await baking.minutes(20)
        assert (baking.rollout["phase"], baking.gate["verdict"]) == ("Baking", "NoData")
        assert "100 of each revision are needed" in baking.gate["reason"]
        baking.answer = BROKEN
        await baking.minutes(20)
        assert (baking.rollout["phase"], baking.gate["verdict"]) == ("Baking", "Error")

    asyncio.run(story())


def test_a_revision_that_is_worse_by_late_labels_is_taken_back() -> None:
    async def story() -> None:
        baking = Baking()
        old, new = await baking.begin()
        baking.answer = number(0.05)
        await baking.minutes(2)
        assert baking.rollout["phase"] == "Baking"
        await baking.minutes(1)
        assert baking.rollout["phase"] == "Reverting"
        await baking.deployed.ready(old, 1)
        (rejected,) = baking.rollout["rejected"]
        assert (rejected["revision"], rejected["reason"]) == (new, "GateFailed")
        assert (
            "at least 5 % more answers are wrong than of the revision before, more than the margin 2 %"
            in rejected["message"]
        )

    asyncio.run(story())


def test_a_revision_that_may_be_as_good_bakes_on() -> None:
    async def story() -> None:
        baking = Baking()
        await baking.begin()
        baking.answer = number(-0.01)
        await baking.minutes(10)
        assert (baking.rollout["phase"], baking.gate["verdict"]) == ("Baking", "Pass")

    asyncio.run(story())


def test_a_baking_in_which_no_day_becomes_mature_is_refused() -> None:
    async def story() -> None:
        baking = Baking()
        await baking.deployed.create(replicas=1, rollback=ROLLBACK)
        for field, rollback in (("baking", {"baking": "35h", "window": "7d"}), ("window", {"baking": "3d"})):
            await baking.deployed.change(rollout={"gates": [GATE], "rollback": rollback})
            assert baking.deployed.condition("Accepted") == ("False", "BakingTooShort")
            assert f"spec.rollout.rollback.{field}: " in baking.deployed.message("Accepted")
        await baking.deployed.change(rollout={"gates": [GATE], "rollback": {"baking": "36h", "window": "36h"}})
        assert baking.deployed.condition("Accepted") == ("True", "Accepted")

    asyncio.run(story())
