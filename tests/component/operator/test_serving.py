"""What clients may use of an operator's port: connections in all and from one address, and time. Real sockets, real TLS, short limits."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import ssl
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
from aiohttp import web
from log_records import messages_of
from operator_process import make_certificate
from raw_http import connect, open_files, read_all

from tuneloop_operator.progress.tls import ServerCertificate
from tuneloop_operator.serving import ServingLimits, allow_open_files, served

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

LIMITS = ServingLimits(connections=12, address_connections=8, seconds=0.6)
LARGE = 2**25
GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
SLOW = b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n"
Pair = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@dataclass
class SlowRoute:
    """`/slow` answers once `may_answer` is set."""

    may_answer: asyncio.Event = field(default_factory=asyncio.Event)
    requests: int = 0
    """How many have come in."""

    async def answer(self, _: web.Request) -> web.Response:
        self.requests += 1
        await self.may_answer.wait()
        return web.Response(text="ok")


class Port:
    """A served application: `/` answers at once, `/slow` once it may."""

    def __init__(self, port: int, tls: ssl.SSLContext | None, slow: SlowRoute) -> None:
        self.port = port
        self.slow = slow
        self._tls = tls

    async def connect(self, *, source: str = "127.0.0.1", shakes_hands: bool = True) -> Pair:
        with_tls = {"ssl": self._tls, "server_hostname": "localhost"} if self._tls and shakes_hands else {}
        return await asyncio.open_connection("127.0.0.1", self.port, local_addr=(source, 0), **with_tls)

    async def being_answered(self, requests: int) -> None:
        """Return once so many slow requests have come in."""
        async with asyncio.timeout(20):
            while self.slow.requests < requests:  # noqa: ASYNC110  (the count has no event)
                await asyncio.sleep(0.01)

    async def asks(self, *, source: str = "127.0.0.1") -> bool:
        """Tell whether a new connection gets an answer."""
        reader, writer = await self.connect(source=source)
        return await answers(reader, writer)


@contextlib.asynccontextmanager
async def serving(folder: Path | None, limits: ServingLimits = LIMITS) -> AsyncIterator[Port]:
    """A port with TLS, or without if there is no folder for a certificate."""
    certificate = ServerCertificate(make_certificate(folder)) if folder else None
    slow = SlowRoute()
    context = certificate.context if certificate else None
    async with served(application(slow), port=0, tls=context, limits=limits) as number:
        trusting = ssl.create_default_context(cadata=certificate.authority) if certificate else None
        yield Port(number, trusting, slow)
        slow.may_answer.set()


def application(slow: SlowRoute) -> web.Application:
    async def quick(_: web.Request) -> web.Response:
        return web.Response(text="ok")

    async def large(_: web.Request) -> web.Response:
        return web.Response(body=b"x" * LARGE)

    async def defect(_: web.Request) -> web.Response:
        raise RuntimeError("a defect of ours")

    app = web.Application()
    app.router.add_get("/defect", defect)
    app.router.add_get("/large", large)
    app.router.add_get("/", quick)
    app.router.add_get("/slow", slow.answer)
    return app


async def answers(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes = GET) -> bool:
    """Tell whether a request is answered 200."""
    try:
        writer.write(request)
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
    except (OSError, asyncio.IncompleteReadError):
        return False
    await reader.readexactly(2)
    return head.startswith(b"HTTP/1.1 200")


async def is_closed(reader: asyncio.StreamReader) -> bool:
    try:
        return await asyncio.wait_for(reader.read(1), 10) == b""
    except OSError:
        return True


@pytest.fixture(params=["TLS", "plain"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path | None:
    return tmp_path if request.param == "TLS" else None


def test_a_request_is_answered_and_the_next_one_too(folder: Path | None) -> None:
    async def life() -> None:
        async with serving(folder) as port:
            reader, writer = await port.connect()
            for _ in range(5):
                assert await answers(reader, writer)
                await asyncio.sleep(0.2)

    asyncio.run(life())


@pytest.mark.parametrize("first", [b"", b"GET / HTTP/1.1\r\nHost:"], ids=["nothing", "half a request"])
@pytest.mark.parametrize("shakes_hands", [True, False])
def test_a_client_that_is_silent_is_closed(folder: Path | None, first: bytes, shakes_hands: bool) -> None:
    async def life() -> None:
        async with serving(folder) as port:
            reader, writer = await port.connect(shakes_hands=shakes_hands)
            writer.write(first if shakes_hands else b"")
            async with asyncio.timeout(5):
                await is_closed(reader)

    asyncio.run(life())


def test_a_client_that_sends_drops_is_closed(folder: Path | None) -> None:
    async def life() -> None:
        async with serving(folder) as port:
            reader, writer = await port.connect()
            closed = asyncio.create_task(is_closed(reader))
            for byte in GET * 2:
                if closed.done():
                    return
                writer.write(bytes([byte]))
                await asyncio.sleep(0.1)
            raise AssertionError("it is still open")

    asyncio.run(life())


def test_a_client_that_waits_for_its_answer_is_not_closed(folder: Path | None) -> None:
    async def life() -> None:
        async with serving(folder) as port:
            waiting = asyncio.create_task(answers(*await port.connect(), SLOW))
            await asyncio.sleep(1.5)
            port.slow.may_answer.set()
            assert await waiting

    asyncio.run(life())


def test_a_client_that_reads_no_answer_is_closed() -> None:
    async def life() -> None:
        async with serving(None) as port:
            with await asyncio.to_thread(connect, port.port) as client:
                client.sendall(GET.replace(b"/ ", b"/large "))
                await asyncio.sleep(2.0)
                assert len(await asyncio.to_thread(read_all, client)) < LARGE

    asyncio.run(life())


@pytest.mark.parametrize("shakes_hands", [True, False])
def test_one_address_gets_a_share_and_its_next_connection_replaces_its_oldest(
    folder: Path | None, shakes_hands: bool
) -> None:
    async def life() -> None:
        async with serving(folder, ServingLimits(connections=12, address_connections=8, seconds=30)) as port:
            other = await port.connect(source="127.0.0.2")
            idle = [await port.connect(shakes_hands=shakes_hands) for _ in range(20)]
            assert all([await is_closed(reader) for reader, _ in idle[:12]])
            assert await answers(*other)
            assert await port.asks()
            assert await port.asks(source="127.0.0.3")

    asyncio.run(life())


def test_of_all_connections_the_oldest_that_waits_is_replaced(folder: Path | None) -> None:
    async def life() -> None:
        async with serving(folder, ServingLimits(connections=12, address_connections=8, seconds=30)) as port:
            busy = await port.connect()
            waiting = asyncio.create_task(answers(*busy, SLOW))
            await port.being_answered(1)
            idle = [await port.connect(source=f"127.0.0.{2 + number % 5}") for number in range(15)]
            assert all([await is_closed(reader) for reader, _ in idle[:4]])
            assert await answers(*idle[-1])
            port.slow.may_answer.set()
            assert await waiting

    asyncio.run(life())


def test_where_all_are_being_answered_a_new_one_is_refused(folder: Path | None) -> None:
    async def life() -> None:
        async with serving(folder) as port:
            waiting = [asyncio.create_task(answers(*await port.connect(), SLOW)) for _ in range(8)]
            await port.being_answered(8)
            with contextlib.suppress(OSError):
                reader, _ = await port.connect()
                assert await is_closed(reader)
            port.slow.may_answer.set()
            assert all(await asyncio.gather(*waiting))

    asyncio.run(life())


def test_what_is_no_tls_harms_nobody(tmp_path: Path) -> None:
    async def life() -> None:
        async with serving(tmp_path) as port:
            for _ in range(20):
                _, writer = await port.connect(shakes_hands=False)
                writer.write(GET)
                writer.close()
            assert await port.asks()

    asyncio.run(life())


@pytest.mark.parametrize(
    "request_bytes",
    [
        pytest.param(b"GET / HTTP/1.1\r\n\r\n", id="no Host"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", id="two Hosts"),
        pytest.param(b"GET / HTTP/1.1\r\nHost : a\r\n\r\n", id="a name that is none"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: " + 9000 * b"a" + b"\r\n\r\n", id="a long line"),
        pytest.param(b"\x16\x03\x01 no HTTP\r\n\r\n", id="no HTTP"),
    ],
)
def test_what_is_no_http_is_refused_and_fills_no_log(request_bytes: bytes) -> None:
    async def life() -> None:
        async with serving(None) as port:
            reader, writer = await port.connect()
            writer.write(request_bytes)
            assert (await asyncio.wait_for(reader.readline(), 10)).split()[1] == b"400"
            assert await port.asks()

    with messages_of("") as messages:
        asyncio.run(life())
    assert messages == []


def test_a_defect_of_ours_is_logged() -> None:
    async def life() -> None:
        async with serving(None) as port:
            assert not await answers(*await port.connect(), request=b"GET /defect HTTP/1.1\r\nHost: a\r\n\r\n")

    with messages_of("tuneloop_operator.serving.requests") as messages:
        asyncio.run(life())
    (message,) = messages
    assert message.startswith("Error handling request from")


@pytest.mark.parametrize(("before", "after"), [(100, 300), (400, 400)], ids=["raised", "never lowered"])
def test_the_process_may_open_a_file_for_each_connection(before: int, after: int) -> None:
    with open_files(before):
        allow_open_files(300)
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == after
