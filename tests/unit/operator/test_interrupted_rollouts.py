"""Roll-outs whose operator is killed, on a cluster in memory: the next one goes on, and nothing that happened stays untold."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from deployed_in_memory import Deployed
from operator_harness import OperatorHarness

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine


@pytest.fixture
def deployed(harness: OperatorHarness) -> Deployed:
    return Deployed(harness)


def live(story: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(story())


def test_an_operator_that_is_killed_at_any_write_goes_on(deployed: Deployed) -> None:
    async def story() -> None:
        await deployed.create(rollback={"baking": "0s", "window": "1s"})
        cluster = deployed.harness.cluster
        for number in range(1, 12):
            before = set(deployed.revisions)
            cluster.fail_write = len(cluster.writes) + number // 2
            await deployed.change(batching={"maxBatchSize": number})
            await deployed.restart()
            (new,) = set(deployed.revisions) - before
            cluster.fail_write = len(cluster.writes) + number // 2
            await deployed.ready(new, 2)
            await deployed.restart()
            assert (deployed.target, deployed.counts[new]) == (new, 2)
            assert sum(deployed.counts.values()) == 2

    live(story)


def reported(deployed: Deployed, revision: str) -> list[str]:
    """Return the reasons of the Events about a revision."""
    return [event.reason for event in deployed.harness.events if revision in event.message]


@pytest.mark.parametrize("is_killed", [True, False], ids=["killed", "an answer is lost"])
@pytest.mark.parametrize("writes", range(6))
def test_what_was_decided_is_reported_once(deployed: Deployed, writes: int, is_killed: bool) -> None:
    async def story() -> None:
        await deployed.create(rollback={"baking": "0s"})
        cluster = deployed.harness.cluster
        new = await deployed.offer()
        cluster.fail_write = len(cluster.writes) + writes
        await deployed.ready(new, 2)
        await (deployed.restart() if is_killed else deployed.settle(later=60.0))
        assert deployed.target == new
        assert [reported(deployed, new).count(reason) for reason in ("RolloutStarted", "Promoted")] == [1, 1]

    live(story)


def test_an_operator_that_starts_does_not_report_what_happened_long_ago(deployed: Deployed) -> None:
    async def story() -> None:
        await deployed.create()
        new = await deployed.offer()
        await deployed.ready(new, 2)
        await deployed.settle(later=1800.0)
        deployed.harness.events.clear()
        await deployed.restart()
        assert not reported(deployed, new)

    live(story)
