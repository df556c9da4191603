"""A whole run of the election: what it outlives, what ends it, and what it reports."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest
from memory_cluster import MemoryCluster

from tuneloop_operator.errors import LostLeadership
from tuneloop_operator.leader.leader import Leader

START = datetime(2026, 1, 1, tzinfo=UTC)


def quick(cluster: MemoryCluster, identity: str, reported: list[bool]) -> Leader:
    return Leader(
        leases=cluster,
        namespace="tuneloop",
        name="operator",
        identity=identity,
        lease_seconds=1.0,
        renew_seconds=0.2,
        retry_seconds=0.02,
        on_change=reported.append,
    )


async def until(condition: Any, *, seconds: float = 5.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110  (what is awaited has no event)
            await asyncio.sleep(0.005)


def test_an_outage_stops_the_writes_and_not_the_process() -> None:
    async def story() -> list[bool]:
        cluster, reported = MemoryCluster(lambda: START), list[bool]()
        leader = quick(cluster, "first", reported)
        running = asyncio.create_task(leader.run())
        await until(leader.leads)
        cluster.is_up = False
        await until(lambda: reported == [True, False])
        assert not running.done()
        cluster.is_up = True
        await until(leader.leads)
        await leader.release()
        await running
        return reported

    assert asyncio.run(story()) == [True, False, True, False]


def test_another_holder_ends_the_run_with_its_name() -> None:
    async def story() -> None:
        cluster, reported = MemoryCluster(lambda: START), list[bool]()
        leader = quick(cluster, "first", reported)
        running = asyncio.create_task(leader.run())
        await until(leader.leads)
        (lease,) = cluster.of_kind("Lease").values()
        cluster.change(lease, spec=lease["spec"] | {"holderIdentity": "second"})
        with pytest.raises(LostLeadership, match="second leads now"):
            await running
        assert reported == [True, False]

    asyncio.run(story())
