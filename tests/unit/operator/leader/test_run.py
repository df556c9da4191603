"""A whole run of the election: what it outlives, what ends it, and what it reports."""

from __future__ import annotations

import asyncio
import copy
from typing import Any

import pytest
from elections import Manifest, Server

from tuneloop_operator.errors import ClusterUnavailable, LostLeadership
from tuneloop_operator.leader.leader import Leader


class Instant:
    """An API server that answers at once, or not at all."""

    def __init__(self) -> None:
        self.server = Server()
        self.is_up = True

    async def get(self, *, kind: str, namespace: str, name: str) -> Any:
        return self._do("get", None)

    async def create(self, manifest: Manifest) -> Any:
        return self._do("create", manifest)

    async def replace(self, manifest: Manifest) -> Any:
        return self._do("replace", manifest)

    def _do(self, verb: str, manifest: Manifest | None) -> Any:
        if not self.is_up:
            raise ClusterUnavailable("down")
        outcome = self.server.carry_out(verb, manifest)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome


def quick(leases: Instant, identity: str, reported: list[bool]) -> Leader:
    return Leader(
        leases=leases,  # type: ignore[arg-type]
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
        leases, reported = Instant(), list[bool]()
        leader = quick(leases, "first", reported)
        running = asyncio.create_task(leader.run())
        await until(leader.leads)
        leases.is_up = False
        await until(lambda: reported == [True, False])
        assert not running.done()
        leases.is_up = True
        await until(leader.leads)
        await leader.release()
        await running
        return reported

    assert asyncio.run(story()) == [True, False, True, False]


def test_another_holder_ends_the_run_with_its_name() -> None:
    async def story() -> None:
        leases, reported = Instant(), list[bool]()
        leader = quick(leases, "first", reported)
        running = asyncio.create_task(leader.run())
        await until(leader.leads)
        assert leases.server.lease is not None
        other = copy.deepcopy(leases.server.lease)
        other["spec"]["holderIdentity"] = "second"
        leases.server.carry_out("replace", other)
        with pytest.raises(LostLeadership, match="second leads now"):
            await running
        assert reported == [True, False]

    asyncio.run(story())
