"""How many queries the door sends at a time."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from aiohttp import web
from prometheus_servers import (
    LONG,
    QUERY,
    SHORT,
    Servers,
    good,
    refuses,
    success,
    with_servers,
)
from waiting import eventually

from tuneloop_operator.prometheus.answer import Number
from tuneloop_operator.prometheus.door import MOST_QUERIES, Place, PrometheusDoor

if TYPE_CHECKING:
    pass


class Gate:
    """Holds requests back until it is opened, and counts them."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.inside = self.most = 0

    async def __call__(self, _request: web.Request) -> web.Response:
        self.inside += 1
        self.most = max(self.most, self.inside)
        await self.open.wait()
        self.inside -= 1
        return web.Response(body=success(), content_type="application/json")

    async def is_full(self) -> bool:
        return self.inside >= MOST_QUERIES


def test_a_few_queries_are_sent_at_a_time():
    async def life(servers: Servers) -> None:
        gate = Gate()
        address = await servers.answering(gate)
        async with PrometheusDoor(Place(address=address), seconds=LONG) as door:
            asked = [asyncio.create_task(door.ask(QUERY)) for _ in range(3 * MOST_QUERIES)]
            await eventually(gate.is_full, seconds=10, what="a full house")
            gate.open.set()
            answers = await asyncio.gather(*asked)
        assert all(isinstance(answer, Number) for answer in answers)
        assert gate.most == MOST_QUERIES

    with_servers(life)


def test_the_wait_for_a_turn_counts():
    async def life(servers: Servers) -> None:
        address = await servers.answering(good())
        async with PrometheusDoor(Place(address=address), seconds=SHORT) as door:
            for _ in range(MOST_QUERIES):
                await door._turns.acquire()
            refuses(await door.ask(QUERY), address, "no answer within 0.5 s")
        assert not servers.asked.requests

    with_servers(life)


def test_a_query_that_is_given_up_makes_room():
    async def life(servers: Servers) -> None:
        gate = Gate()
        address = await servers.answering(gate)
        async with PrometheusDoor(Place(address=address), seconds=LONG) as door:
            asked = [asyncio.create_task(door.ask(QUERY)) for _ in range(MOST_QUERIES)]
            await eventually(gate.is_full, seconds=10, what="a full house")
            for task in asked:
                task.cancel()
            assert all(
                isinstance(end, asyncio.CancelledError) for end in await asyncio.gather(*asked, return_exceptions=True)
            )
            gate.open.set()
            assert isinstance(await door.ask(QUERY), Number)

    with_servers(life)
