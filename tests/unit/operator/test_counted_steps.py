"""Steps that wait for requests: counts are written now and then, and a step ends as soon as they are enough."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from routed_in_memory import Routed

from tuneloop_operator.state.router_report import RouterReport

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

REPORT_SECONDS = 2.5
"""Two routers report every five seconds, in turns."""
STEPS = [{"weight": 5, "minRequests": 1000, "minDuration": "0s"}, {"weight": 25, "minDuration": "1h"}, {"weight": 100}]


class Counted(Routed):
    """A deployment whose routers count what the canary has answered."""

    def __init__(self) -> None:
        super().__init__()
        self.canary = ""
        self.answered = 0

    async def begin(self) -> None:
        """Bring the canary to its first step."""
        await self.create(steps=STEPS)
        self.canary = await self.offer()
        await self.ready(self.canary, 1)
        await self.settle(later=60.0)

    async def answer(self, requests: int) -> None:
        """Let the canary answer some requests until the next report."""
        self.answered += requests
        await self.settle(later=REPORT_SECONDS)

    def report(self, router: str, *, in_force: int, refused: int | None = None) -> None:
        counted = ((self.canary, self.answered // len(self.routers)),) if self.canary else ()
        found = RouterReport(router=router, in_force=in_force, refused=refused, requests=counted)
        self.harness.operator.router_report("team-a", "api", found)

    @property
    def writes(self) -> int:
        """How often the status was written."""
        return self.harness.cluster.writes.count(("patch_status", "ModelDeployment", "api"))

    @property
    def requests(self) -> int:
        requests: int = self.status["rollout"].get("requests", 0)
        return requests


@pytest.fixture
def counted() -> Counted:
    return Counted()


def live(story: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(story())


def test_counts_are_written_three_times_a_minute(counted: Counted) -> None:
    async def story() -> None:
        await counted.begin()
        await counted.answer(10)
        before = counted.writes
        for _ in range(24):
            await counted.answer(10)
        assert counted.writes - before == 3
        assert 170 <= counted.requests <= 250
        assert f"{counted.requests} of 1000 requests" in counted.message("Ready")

    live(story)


def test_the_last_counts_are_written_when_no_more_come(counted: Counted) -> None:
    async def story() -> None:
        await counted.begin()
        for _ in range(3):
            await counted.answer(10)
        assert counted.requests < 30
        await counted.settle(later=20.0)
        assert counted.requests == 30

    live(story)


def test_a_step_ends_a_second_after_the_report_that_brings_the_last_request(counted: Counted) -> None:
    async def story() -> None:
        await counted.begin()
        await counted.answer(10)
        await counted.answer(10)
        await counted.answer(1000)
        await counted.settle(later=1.0)
        assert counted.weights[counted.canary] == 25

    live(story)


def test_what_is_no_count_is_written_at_once(counted: Counted) -> None:
    async def story() -> None:
        await counted.begin()
        await counted.answer(10)
        await counted.answer(10)
        await counted.ready(counted.canary, 0)
        assert counted.weights.get(counted.canary, 0) == 0
        assert counted.condition("Reconciling") == ("True", "Starting")

    live(story)
