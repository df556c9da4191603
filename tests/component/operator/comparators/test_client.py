"""The client of comparators against servers that misbehave: a document or one sentence, in time and in little memory."""

from __future__ import annotations

import asyncio
import gzip
import json
import time
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web
from comparator_counts import counts
from prometheus_servers import LONG, SHORT, Servers, another_protocol, replying, with_servers

from tuneloop_operator.comparators.client import ComparatorClient

if TYPE_CHECKING:
    from tuneloop_operator.state.gate_inputs import ComparatorReply

COUNTS = counts().to_wire()
JSON = "application/json"
ENDED = "the connection ended before the answer, or the answer is no HTTP"


async def ask(address: str, *, seconds: float = LONG) -> ComparatorReply:
    async with ComparatorClient(seconds=seconds) as client:
        return await client.counts(address)


def test_counts_arrive_as_they_were_sent():
    async def life(servers: Servers) -> None:
        address = await servers.answering(replying(text=json.dumps(COUNTS), content_type=JSON))
        reply = await ask(address)
        assert (reply.document, reply.problem) == (COUNTS, "")
        ((method, path, headers, _),) = servers.asked.requests
        assert (method, path) == ("GET", "/v1/counts")
        assert not {"Authorization", "Cookie"} & set(headers)

    with_servers(life)


MISBEHAVING = {
    "a page": (replying(text="<html>secret</html>", content_type="text/html"), f"the answer is no {JSON}"),
    "another status": (replying(status=503, text='{"error": "secret"}', content_type=JSON), "HTTP 503"),
    "a redirect": (replying(status=302, headers={"Location": "http://127.0.0.1:1/"}), "HTTP 302"),
    "a list": (replying(text="[1]", content_type=JSON), "the answer is no JSON object"),
    "no JSON": (replying(text="{secret", content_type=JSON), "the answer is no JSON object"),
    "no number": (replying(text='{"version": NaN}', content_type=JSON), "the answer is no JSON object"),
    "a deep nest": (replying(text="[" * 3000, content_type=JSON), "the answer is no JSON object"),
    "a long number": (replying(text=f'{{"a": {"9" * 200_000}}}', content_type=JSON), "the answer is no JSON object"),
    "a list of many": (
        replying(text=f'{{"a": [{"0," * 5000}0]}}', content_type=JSON),
        "the answer has more than 4000 values",
    ),
    "many objects": (replying(text="{}" * 5000, content_type=JSON), "the answer has more than 4000 values"),
    "no text": (replying(body=b'{"a": "\xff"}', content_type=JSON), "the answer is no JSON object"),
    "1 MB": (replying(body=b"{}".ljust(1_000_000), content_type=JSON), "the answer has more than 262144 bytes"),
    "a gzip bomb": (
        replying(body=gzip.compress(bytes(100_000_000), 1), content_type=JSON, headers={"Content-Encoding": "gzip"}),
        "the answer is compressed, which was not asked for",
    ),
}


@pytest.mark.parametrize("name", MISBEHAVING)
def test_what_is_no_document_of_counts_is_a_problem_that_names_the_address(name):
    handler, sentence = MISBEHAVING[name]

    async def life(servers: Servers) -> None:
        address = await servers.answering(handler)
        reply = await ask(address)
        assert (reply.document, reply.problem) == (None, f"the comparator at {address}: {sentence}")

    with_servers(life)


HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


async def nothing() -> Any:
    return
    yield


async def a_drip() -> Any:
    yield HEAD + b"Content-Length: 4096\r\n\r\n"
    while True:
        yield b" "
        await asyncio.sleep(0.02)


async def half_a_body() -> Any:
    yield HEAD + b"Content-Length: 4096\r\n\r\n{}"


async def an_endless_body() -> Any:
    yield HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
    while True:
        yield b"10000\r\n" + b" " * 65536 + b"\r\n"


@pytest.mark.parametrize("parts", [nothing, a_drip])
def test_a_comparator_that_is_slow_is_not_waited_for(parts):
    async def life(servers: Servers) -> None:
        address = await servers.sending(parts, end=False)
        started = time.monotonic()
        assert (await ask(address, seconds=SHORT)).problem == f"the comparator at {address}: no answer within 0.5 s"
        assert time.monotonic() - started < LONG / 2

    with_servers(life)


@pytest.mark.parametrize("parts", [nothing, half_a_body, another_protocol])
def test_what_is_no_whole_response_is_a_problem(parts):
    async def life(servers: Servers) -> None:
        address = await servers.sending(parts)
        assert (await ask(address)).problem.startswith(f"the comparator at {address}: {ENDED} (")

    with_servers(life)


def test_a_body_without_an_end_is_not_read_on():
    async def life(servers: Servers) -> None:
        address = await servers.sending(an_endless_body)
        assert (await ask(address)).problem.endswith("the answer has more than 262144 bytes")

    with_servers(life)


def test_nobody_there_is_a_problem():
    async def life(servers: Servers) -> None:
        reply = await ask("http://127.0.0.1:1")
        assert reply.problem.startswith("the comparator at http://127.0.0.1:1: no connection (")

    with_servers(life)


def test_a_name_that_leads_nowhere_is_a_problem():
    async def life(servers: Servers) -> None:
        reply = await ask("http://reviews-comparator.team-a.svc.invalid:8081")
        assert reply.document is None
        assert reply.problem.startswith("the comparator at http://reviews-comparator.team-a.svc.invalid:8081: ")

    with_servers(life)


def test_a_proxy_of_the_environment_is_not_asked(monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")

    async def life(servers: Servers) -> None:
        address = await servers.answering(replying(text=json.dumps(COUNTS), content_type=JSON))
        assert (await ask(address)).document == COUNTS

    with_servers(life)


def test_a_replay_is_asked_for_by_how_many_there_are_to_be():
    bodies = []

    async def take(request: web.Request) -> web.Response:
        bodies.append(await request.json())
        return web.json_response({}, status=202)

    async def life(servers: Servers) -> None:
        address = await servers.answering(take)
        async with ComparatorClient() as client:
            assert await client.ask_for_replays(address, times=2) == ""
        ((method, path, _, _),) = servers.asked.requests
        assert (method, path, bodies) == ("POST", "/v1/golden", [{"times": 2}])

    with_servers(life)


def test_a_replay_that_is_refused_is_a_sentence():
    async def life(servers: Servers) -> None:
        address = await servers.answering(replying(status=409, text="{}", content_type=JSON))
        async with ComparatorClient() as client:
            problem = await client.ask_for_replays(address, times=1)
        assert problem == f"the comparator at {address} is asked for a replay: HTTP 409"

    with_servers(life)
