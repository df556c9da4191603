"""The door against servers that misbehave: each answer is a number or one sentence, in time and in little memory."""

from __future__ import annotations

import asyncio
import gzip
import time
from typing import TYPE_CHECKING, Any

import pytest
from prometheus_servers import (
    LONG,
    SHORT,
    Servers,
    another_protocol,
    ask,
    refuses,
    replying,
    success,
    with_servers,
)

from tuneloop_operator.prometheus.answer import Unanswered

if TYPE_CHECKING:
    pass


HTML = "in place of application/json: is it the address of Prometheus?"
MISBEHAVING = {
    "a page": (replying(text="<html>1</html>", content_type="text/html"), f"HTTP 200 with content type text/html; charset=utf-8 {HTML}"),
    "JSON of another type": (replying(body=success(), content_type="text/plain"), f"HTTP 200 with content type text/plain {HTML}"),
    "no type": (replying(body=success(), headers={"Content-Type": ""}), f"HTTP 200 with content type unset {HTML}"),
    "a gateway's error": (replying(status=502, text="Bad Gateway"), f"HTTP 502 with content type text/plain; charset=utf-8 {HTML}"),
    "a number with 500": (replying(status=500, body=success(), content_type="application/json"), "HTTP 500, without success, and without a reason"),
    "an error of a query": (
        replying(status=400, body=b'{"status":"error","errorType":"bad_data","error":"x"}', content_type="application/json"),
        "HTTP 400, bad_data: x",
    ),
    "10 MB": (
        replying(body=success().ljust(10_000_000), content_type="application/json"),
        "the answer has more than 1048576 bytes",
    ),
    "a gzip bomb": (
        replying(body=gzip.compress(bytes(100_000_000), 1), content_type="application/json", headers={"Content-Encoding": "gzip"}),
        "the answer is compressed, which was not asked for",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", MISBEHAVING)
def test_what_is_no_answer_of_prometheus_is_an_error(name):
    handler, sentence = MISBEHAVING[name]

    async def life(servers: Servers) -> None:
        address = await servers.answering(handler)
        refuses(await ask(address), address, sentence)

    with_servers(life)


HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
LENGTH = b"Content-Length: 4096\r\n\r\n"
ENDED = "the connection ended before the answer, or the answer is no HTTP"


async def nothing() -> Any:
    return
    yield


async def half_a_head() -> Any:
    yield HEAD


async def half_a_body() -> Any:
    yield HEAD + LENGTH + success()


async def a_drip() -> Any:
    yield HEAD + LENGTH
    while True:
        yield b" "
        await asyncio.sleep(0.02)


async def a_dripping_head() -> Any:
    yield HEAD
    for number in range(10**6):
        yield b"X-%d: 1\r\n" % number
        await asyncio.sleep(0.02)


async def an_endless_head() -> Any:
    yield HEAD
    for number in range(10**9):
        yield b"X-%d: %s\r\n" % (number, b"x" * 8000)


async def a_long_line() -> Any:
    yield HEAD
    while True:
        yield b"x" * 65536


async def an_endless_body() -> Any:
    yield HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
    while True:
        yield b"10000\r\n" + b" " * 65536 + b"\r\n"


@pytest.mark.parametrize("parts", [nothing, half_a_head, half_a_body, a_drip, a_dripping_head])
def test_a_server_that_is_slow_is_not_waited_for(parts):
    async def life(servers: Servers) -> None:
        address = await servers.sending(parts, end=False)
        started = time.monotonic()
        refuses(await ask(address, seconds=SHORT), address, "no answer within 0.5 s")
        assert time.monotonic() - started < LONG / 2

    with_servers(life)


@pytest.mark.parametrize("parts", [nothing, half_a_head, half_a_body, another_protocol, an_endless_head, a_long_line])
def test_what_is_no_whole_response_is_an_error(parts):
    async def life(servers: Servers) -> None:
        address = await servers.sending(parts)
        answer = await ask(address)
        assert isinstance(answer, Unanswered)
        assert answer.reason.startswith(f"Prometheus at {address}: {ENDED} (")

    with_servers(life)


def test_a_body_without_an_end_is_not_read_on():
    async def life(servers: Servers) -> None:
        address = await servers.sending(an_endless_body)
        refuses(await ask(address), address, "the answer has more than 1048576 bytes")

    with_servers(life)


def test_nobody_there_is_an_error():
    async def life(servers: Servers) -> None:
        server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
        address = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        server.close()
        await server.wait_closed()
        answer = await ask(address)
        assert isinstance(answer, Unanswered)
        assert answer.reason.startswith(f"Prometheus at {address}: no connection (")

    with_servers(life)
