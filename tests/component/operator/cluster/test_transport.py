"""What all requests share, against an HTTP server with prepared answers."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from kubernetes.aio.client import Configuration

from tuneloop_operator.cluster.api_server import ApiServer
from tuneloop_operator.cluster.transport import Call, Transport
from tuneloop_operator.errors import ClusterUnavailable

OBJECT = {"kind": "ConfigMap", "metadata": {"name": "one", "namespace": "a", "uid": "u", "resourceVersion": "1"}}
Answer = Callable[[web.Request], web.Response]


class Stub:
    """Answers each request with the next of its answers, and then always with the last one; keeps the requests."""

    def __init__(self, *answers: Answer) -> None:
        self._answers = list(answers)
        self.requests: list[web.Request] = []
        self.calls: list[Call] = []
        self.now = 0.0
        self.clock: Callable[[], float] = lambda: self.now

    def run(self, story: Callable[[ApiServer], Awaitable[Any]]) -> Any:
        return asyncio.run(self._run(story))

    async def _run(self, story: Callable[[ApiServer], Awaitable[Any]]) -> Any:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._answer)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        configuration = Configuration(host=f"http://127.0.0.1:{runner.addresses[0][1]}")
        transport = Transport(
            configuration,
            environ={},
            may_write=lambda: True,
            on_call=self.calls.append,
            request_timeout_seconds=10.0,
            clock=self.clock,
        )
        server = ApiServer(transport, configuration=configuration)
        try:
            return await story(server)
        finally:
            await server.close()
            await runner.cleanup()

    async def _answer(self, request: web.Request) -> web.Response:
        await request.read()
        self.requests.append(request)
        return (self._answers.pop(0) if len(self._answers) > 1 else self._answers[0])(request)


def says(code: int, body: Any = OBJECT, **headers: str) -> Answer:
    text = body if isinstance(body, str) else json.dumps(body)
    return lambda _: web.Response(
        status=code,
        text=text,
        content_type="application/json",
        headers={name.replace("_", "-"): value for name, value in headers.items()},
    )


async def get(server: ApiServer) -> Any:
    return await server.get(kind="ConfigMap", namespace="a", name="one")


def test_after_too_many_requests_none_is_sent_until_the_time_that_was_named() -> None:
    stub = Stub(says(429, {"kind": "Status"}, Retry_After="5"), says(200))

    async def story(server: ApiServer) -> None:
        with pytest.raises(ClusterUnavailable):
            await get(server)
        stub.now = 1.0
        with pytest.raises(ClusterUnavailable) as caught:
            await get(server)
        assert caught.value.retry_after == pytest.approx(4.0)
        assert len(stub.requests) == 1
        stub.now = 5.0
        await get(server)

    stub.run(story)
    assert [call.code for call in stub.calls] == [429, 200]


@pytest.mark.parametrize(
    ("code", "is_heard"),
    [pytest.param(200, True, id="an answer"), pytest.param(503, False, id="an error, perhaps of something on the way")],
)
def test_the_time_is_that_of_the_api_server(code: int, is_heard: bool) -> None:
    ahead = datetime.now(UTC) + timedelta(hours=2)

    async def story(server: ApiServer) -> timedelta:
        with contextlib.suppress(ClusterUnavailable):
            await get(server)
        return abs(server.now() - ahead)

    error = Stub(says(code, Date=format_datetime(ahead, usegmt=True))).run(story)
    assert (error < timedelta(minutes=10)) is is_heard


def test_a_lease_does_not_wait_for_that() -> None:
    stub = Stub(says(429, {"kind": "Status"}, Retry_After="5"), says(200))

    async def story(server: ApiServer) -> None:
        with pytest.raises(ClusterUnavailable):
            await get(server)
        await server.get(kind="Lease", namespace="a", name="one")
        await server.replace(OBJECT | {"kind": "Lease"})

    stub.run(story)
    assert len(stub.requests) == 3


async def create(server: ApiServer) -> Any:
    return await server.create(OBJECT)


@pytest.mark.parametrize("ask", [get, create])
def test_a_request_is_repeated_after_an_error_of_the_server(ask: Callable[[ApiServer], Awaitable[Any]]) -> None:
    stub = Stub(says(500, {"kind": "Status"}), says(503, "<html>"), says(200))
    assert stub.run(ask)["metadata"] == OBJECT["metadata"]
    assert [call.code for call in stub.calls] == [500, 503, 200]


def test_a_short_wait_of_retry_after_is_awaited_in_place() -> None:
    stub = Stub(says(429, {"kind": "Status"}, Retry_After="1"), says(200))
    stub.clock = time.monotonic

    async def story(server: ApiServer) -> float:
        began = time.monotonic()
        await server.create(OBJECT)
        return time.monotonic() - began

    assert stub.run(story) >= 1.0


@pytest.mark.parametrize(
    ("answer", "story"),
    [
        pytest.param(says(503, Retry_After="5"), get, id="a wait that was asked for"),
        pytest.param(says(401), get, id="no error of the server"),
        pytest.param(
            says(500), lambda server: server.get(kind="Lease", namespace="a", name="one"), id="a Lease: its time runs"
        ),
    ],
)
def test_no_other_request_is_repeated(answer: Answer, story: Callable[[ApiServer], Awaitable[Any]]) -> None:
    stub = Stub(answer, says(200))
    with pytest.raises(ClusterUnavailable):
        stub.run(story)
    assert len(stub.requests) == 1


def test_what_always_meets_an_error_fails_in_the_end() -> None:
    stub = Stub(says(500))
    with pytest.raises(ClusterUnavailable):
        stub.run(get)
    assert len(stub.requests) == 3


def test_netrc_in_the_home_folder_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login somebody password word\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    stub = Stub(says(200))
    stub.run(get)
    assert "Authorization" not in stub.requests[0].headers


@pytest.mark.parametrize("body", ["", "<html>", "[]", "3", '{"kind": "Table"}'])
def test_a_good_answer_that_is_no_object_means_later(body: str) -> None:
    async def story(server: ApiServer) -> None:
        with pytest.raises(ClusterUnavailable):
            await get(server)

    Stub(says(200, body)).run(story)


def test_a_list_that_expired_between_two_pages_is_read_again() -> None:
    first = {"kind": "ConfigMapList", "metadata": {"continue": "next"}, "items": [OBJECT]}
    last = {"kind": "ConfigMapList", "metadata": {}, "items": [OBJECT]}
    expired = {"kind": "Status", "reason": "Expired"}
    stub = Stub(says(200, first), says(410, expired), says(200, first), says(200, last))

    async def story(server: ApiServer) -> Any:
        return await server.list(kind="ConfigMap", namespace="a", labels={"x": "y"})

    assert len(stub.run(story)) == 2
    assert [request.query.get("continue") for request in stub.requests] == [None, "next", None, "next"]
    assert {request.query["labelSelector"] for request in stub.requests} == {"x=y"}


def test_a_list_that_expires_again_and_again_means_later() -> None:
    async def story(server: ApiServer) -> None:
        with pytest.raises(ClusterUnavailable, match="expired 3 times"):
            await server.list(kind="ConfigMap", namespace="a", labels={})

    Stub(says(410, {"kind": "Status", "reason": "Expired"})).run(story)


def test_a_call_without_an_answer_is_counted_as_such() -> None:
    stub = Stub(says(200))

    async def story(server: ApiServer) -> None:
        server._configuration.host = "http://127.0.0.1:9"
        with pytest.raises(ClusterUnavailable, match="the API server does not answer"):
            await get(server)

    stub.run(story)
    assert [(call.verb, call.resource, call.code) for call in stub.calls] == [("get", "configmaps", 0)]


def test_the_operator_says_who_it_is() -> None:
    stub = Stub(says(200))
    stub.run(get)
    assert stub.requests[0].headers["User-Agent"] == "tuneloop-operator"
