"""How long a client may take, and how many may be connected: uvicorn with our protocol and short limits, over real sockets."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
import uvicorn
import uvloop
from raw_http import connect

from tuneloop_server import connections as under_test
from tuneloop_server.connections import ConnectionLimits, Connections, connection_limit

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

SHORT = ConnectionLimits(connections=8, header_seconds=0.3, body_seconds=0.5, answer_seconds=0.5, linger_seconds=0.2)
LARGE = 2**25
GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
SLOW = b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n"


@dataclass
class Application:
    """Answers with the body's length; `/slow` waits for `may_answer`; `/large` answers with 32 MiB."""

    connections: Connections
    may_answer: asyncio.Event = field(default_factory=asyncio.Event)
    ended: list[str] = field(default_factory=list)

    async def __call__(self, scope, receive, send) -> None:
        if scope["type"] == "lifespan":
            return
        size, message = 0, {"more_body": True}
        while message.get("more_body"):
            message = await receive()
            size += len(message.get("body", b""))
        self.ended.append(message["type"])
        if scope["path"] == "/slow":
            await self.may_answer.wait()
        content = b"x" * LARGE if scope["path"] == "/large" else str(size).encode()
        length = [(b"content-length", str(len(content)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": length})
        await send({"type": "http.response.body", "body": content})


@asynccontextmanager
async def serving(limits: ConnectionLimits = SHORT) -> AsyncIterator[tuple[int, Application]]:
    """A server that sweeps often."""
    connections = Connections(limits)
    app = Application(connections)
    config = uvicorn.Config(
        app, http=connections.connect, loop="uvloop", ws="none", lifespan="off", log_config=None, timeout_keep_alive=30
    )
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(config)
    running = asyncio.create_task(server.serve(sockets=[listener]))

    async def sweep() -> None:
        while True:
            await asyncio.sleep(0.02)
            connections.sweep(asyncio.get_running_loop().time())

    sweeping = asyncio.create_task(sweep())
    try:
        while not server.started:  # noqa: ASYNC110  (uvicorn has no event)
            await asyncio.sleep(0.01)
        yield listener.getsockname()[1], app
    finally:
        sweeping.cancel()
        app.may_answer.set()
        server.should_exit = server.force_exit = True
        await running


async def answer(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """Return status and body of an answer; status 0: the connection was closed."""
    try:
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
    except (asyncio.IncompleteReadError, ConnectionError):
        return 0, b""
    length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
    return int(head.split()[1]), await reader.readexactly(length)


async def is_closed(reader: asyncio.StreamReader) -> bool:
    try:
        return await asyncio.wait_for(reader.read(1), 10) == b""
    except ConnectionError:
        return True


async def drip(writer: asyncio.StreamWriter, data: bytes, *, seconds: float) -> None:
    """Send bytes one by one, evenly, for some seconds or until the connection ends."""
    for byte in data:
        if writer.is_closing():
            return
        writer.write(bytes([byte]))
        await asyncio.sleep(seconds / len(data))


@pytest.mark.parametrize(
    ("first", "slow", "part", "allowed"),
    [
        pytest.param(b"", b"", "headers", 0.3, id="nothing is sent"),
        pytest.param(b"GET / HT", b"", "headers", 0.3, id="half a line"),
        pytest.param(b"GET / HTTP/1.1\r\n", b"a: 1\r\n" * 20, "headers", 0.3, id="headers in drops"),
        pytest.param(b"\r\n", b"\r\n" * 40, "headers", 0.3, id="empty lines"),
        pytest.param(POST, b"", "body", 0.5, id="no body"),
        pytest.param(POST, b"123456789", "body", 0.5, id="a body in drops"),
    ],
)
def test_a_slow_request_is_ended_in_time_and_not_before(first, slow, part, allowed):
    async def life() -> None:
        async with serving() as (port, _):
            begun = time.monotonic()
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(first)
            dripping = asyncio.create_task(drip(writer, slow, seconds=2.0))
            status, content = await answer(reader)
            assert status == 408
            assert json.loads(content)["error"] == f"the {part} did not come within {allowed} s"
            assert time.monotonic() - begun > 0.9 * allowed
            assert await is_closed(reader)
            dripping.cancel()

    uvloop.run(life())


def test_the_application_learns_that_a_body_ended():
    async def life() -> None:
        async with serving() as (port, app):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(POST)
            assert (await answer(reader))[0] == 408
            assert app.ended == ["http.disconnect"]

    uvloop.run(life())


def test_a_second_request_that_stalls_is_ended_too():
    async def life() -> None:
        async with serving() as (port, _):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(GET)
            assert await answer(reader) == (200, b"0")
            await asyncio.sleep(0.6)  # between two requests a client may be silent for longer
            writer.write(GET[:9])
            assert (await answer(reader))[0] == 408

    uvloop.run(life())


def test_the_server_may_take_its_time():
    async def life() -> None:
        async with serving() as (port, app):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(SLOW + GET + GET[:9])  # two whole requests and a part of one
            await asyncio.sleep(1.0)
            app.may_answer.set()
            assert [await answer(reader), await answer(reader)] == [(200, b"0")] * 2
            writer.write(GET[9:])
            assert await answer(reader) == (200, b"0")

    uvloop.run(life())


def test_a_few_requests_that_are_sent_ahead_are_answered_in_turn():
    async def life() -> None:
        async with serving() as (port, app):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(SLOW + POST + b"0123456789" + GET * 15)
            await asyncio.sleep(0.2)
            app.may_answer.set()
            assert [await answer(reader) for _ in range(17)] == [(200, b"0"), (200, b"10"), *[(200, b"0")] * 15]

    uvloop.run(life())


@pytest.mark.parametrize(
    "ahead",
    [
        pytest.param(GET * 17, id="many requests"),
        pytest.param(POST.replace(b"10", b"100000") + b"x" * 70_000, id="a large body"),
    ],
)
def test_a_client_that_sends_much_ahead_is_closed(ahead):
    async def life() -> None:
        async with serving() as (port, app):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(SLOW + ahead)
            assert await is_closed(reader)
            assert len(app.ended) <= 1

    uvloop.run(life())


def test_a_client_that_reads_no_answer_is_ended():
    async def life() -> None:
        async with serving() as (port, app):
            with await asyncio.to_thread(connect, port) as client:
                client.sendall(GET.replace(b"/ ", b"/large "))
                for count in (1, 0):
                    async with asyncio.timeout(20):
                        while app.connections.count != count:  # noqa: ASYNC110  (the count has no event)
                            await asyncio.sleep(0.01)

    uvloop.run(life())


def test_a_new_connection_takes_the_place_of_the_one_that_waits_longest():
    async def life() -> None:
        async with serving() as (port, app):
            opened = [await asyncio.open_connection("127.0.0.1", port) for _ in range(8)]
            opened[0][1].write(SLOW)
            opened[1][1].write(GET)
            assert await answer(opened[1][0]) == (200, b"0")
            for _ in range(3):
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(GET)
                assert await answer(reader) == (200, b"0")
            assert await is_closed(opened[2][0])
            app.may_answer.set()
            assert await answer(opened[0][0]) == (200, b"0")  # was being answered
            opened[1][1].write(GET)
            assert await answer(opened[1][0]) == (200, b"0")  # waited between two requests, while others had sent none

    uvloop.run(life())


def test_where_all_are_being_answered_a_new_connection_is_closed():
    async def life() -> None:
        async with serving() as (port, app):
            busy = [await asyncio.open_connection("127.0.0.1", port) for _ in range(8)]
            for _, writer in busy:
                writer.write(SLOW)
            while len(app.ended) < 8:  # noqa: ASYNC110  (the event is in the application)
                await asyncio.sleep(0.01)
            reader, _ = await asyncio.open_connection("127.0.0.1", port)
            assert await is_closed(reader)
            app.may_answer.set()
            assert [await answer(reader) for reader, _ in busy] == [(200, b"0")] * 8

    uvloop.run(life())


@pytest.mark.parametrize(
    ("soft", "hard", "limit", "raised"),
    [
        pytest.param(400, 400, 300, 400, id="few files"),
        pytest.param(1024, 4096, 1280, 1380, id="more are allowed"),
        pytest.param(1024, 1200, 1100, 1200, id="a few more are allowed"),
        pytest.param(10**6, 10**6, 1280, 10**6, id="enough"),
        pytest.param(-1, -1, 1280, -1, id="no limit"),
        pytest.param(64, 64, 1, 64, id="hardly any"),
    ],
)
def test_the_limit_fits_into_the_open_files(soft, hard, limit, raised, monkeypatch):
    limits = [(soft, hard)]
    monkeypatch.setattr(under_test.resource, "getrlimit", lambda _: limits[-1])
    monkeypatch.setattr(under_test.resource, "setrlimit", lambda _, pair: limits.append(pair))
    assert connection_limit(max_queue=256) == limit
    assert limits[-1][0] == raised


def test_the_files_of_the_second_port_are_kept_free(monkeypatch):
    monkeypatch.setattr(under_test.resource, "getrlimit", lambda _: (400, 400))
    monkeypatch.setattr(under_test.resource, "setrlimit", lambda *_: None)
    assert connection_limit(max_queue=256, metrics_connections=32) == 268
