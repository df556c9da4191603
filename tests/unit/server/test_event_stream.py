"""An answer that goes out as it grows, to a client that may have left."""

from __future__ import annotations

import asyncio

from tuneloop_server.client import Client
from tuneloop_server.protocols.event_stream import EventStream, event, send_events


def test_a_client_that_left_before_its_stream_began_ends_the_work_for_it():
    made = []

    async def events():
        for number in range(3):
            made.append(number)
            yield event(number)
            await asyncio.sleep(0)

    async def send(_):
        """A connection that is gone takes everything, as uvicorn's does."""

    async def story():
        client, rest = Client(), events()
        first = await anext(rest)
        client.leave()
        return await send_events(EventStream(first=first, rest=rest, error_event=event), send, client=client)

    assert asyncio.run(story()) == "client_left"
    assert made == [0]
