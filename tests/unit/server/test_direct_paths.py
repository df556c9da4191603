"""The short way to what answers a protocol: it changes who is asked first, and no answer."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest
from artifact import manifest_of
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from tuneloop_api.contract.server_config import ServerConfig
from tuneloop_server.body_memory import BodyMemory
from tuneloop_server.direct_paths import DirectPaths
from tuneloop_server.errors import RequestError
from tuneloop_server.monitoring import Monitoring
from tuneloop_server.protocols.protocol import Endpoint, Reply


async def echo(request, body: bytes) -> Reply:
    if body == b"too many":
        raise RequestError("try again", status=429, reason="overloaded", retry_after=7)
    if body == b"defect":
        raise ZeroDivisionError
    return Reply(body, {"x-path": request.url.path, "x-name": request.path_params.get("name", "")})


async def page(_) -> PlainTextResponse:
    return PlainTextResponse("a page")


def routes() -> list[Route]:
    config = ServerConfig(namespace="n", name="n", revision="r", artifact_path="/a", artifact_uri="file:///a")
    monitoring = Monitoring(config, manifest_of(["only"]), label_names=["only"])
    service = SimpleNamespace(monitoring=monitoring, bodies=BodyMemory(), draining=False)
    endpoint = Endpoint(service=service, protocol="echo", respond=echo)
    return [
        Route("/echo", endpoint, methods=["POST"]),
        Route("/models/{name}/echo", endpoint, methods=["POST"]),
        Route("/page", page, methods=["GET"]),
    ]


def asked(app, method: str, path: str, body: bytes = b"") -> tuple[int, dict[bytes, bytes], bytes]:
    """Return status, headers and body of an answer."""
    scope = {"type": "http", "method": method, "path": path, "query_string": b"", "headers": [], "root_path": ""}
    sent: list[dict] = []

    async def receive() -> dict:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message) -> None:
        sent.append(message)

    asyncio.run(app(scope, receive, send))
    start, *parts = sent
    return start["status"], dict(start["headers"]), b"".join(part["body"] for part in parts)


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        pytest.param("POST", "/echo", b"[1]", 200, id="a path without parameters"),
        pytest.param("POST", "/models/films/echo", b"[1]", 200, id="a path with a parameter"),
        pytest.param("POST", "/echo", b"too many", 429, id="a refusal"),
        pytest.param("POST", "/echo", b"defect", 500, id="a defect"),
        pytest.param("GET", "/echo", b"", 405, id="another method"),
        pytest.param("GET", "/page", b"", 200, id="a page"),
        pytest.param("POST", "/page", b"", 405, id="a page has one method"),
        pytest.param("POST", "/echo/", b"[1]", 307, id="a slash too many"),
        pytest.param("POST", "/nothing", b"[1]", 404, id="no such path"),
    ],
)
def test_a_request_is_answered_as_by_starlette(method, path, body, status):
    answer = asked(DirectPaths(routes()), method, path, body)
    assert answer == asked(Starlette(routes=routes()), method, path, body)
    assert answer[0] == status


def test_an_endpoint_is_asked_without_a_search_for_its_route():
    app = DirectPaths(routes())
    app.router.routes.clear()
    assert asked(app, "POST", "/echo", b"[1]")[2] == b"[1]"
    assert asked(app, "POST", "/models/films/echo", b"[1]")[0] == 404


def test_the_answer_says_its_type_and_its_length_and_when_to_try_again():
    status, headers, body = asked(DirectPaths(routes()), "POST", "/echo", b"too many")
    assert (status, headers[b"content-type"], headers[b"retry-after"]) == (429, b"application/json", b"7")
    assert int(headers[b"content-length"]) == len(body)
