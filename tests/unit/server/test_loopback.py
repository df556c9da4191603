"""Which requests a server on loopback takes: those that no web page can make a browser send."""

from __future__ import annotations

import asyncio
import json

import pytest
from starlette.responses import Response

from tuneloop_server.loopback import LoopbackOnly, is_loopback


def ask(*headers: tuple[str, str], method: str = "GET", host: str = "127.0.0.1", port: int = 8080) -> tuple[int, str]:
    """Send a request with exactly these headers; return status and error."""
    sent: list = []

    async def send(message) -> None:
        sent.append(message)

    async def receive() -> dict:
        return {"type": "http.request", "body": b"", "more_body": False}

    scope = {
        "type": "http",
        "method": method,
        "path": "/",
        "headers": [(name.encode(), value.encode()) for name, value in headers],
    }
    asyncio.run(LoopbackOnly(Response("{}"), host=host, port=port)(scope, receive, send))
    return sent[0]["status"], json.loads(sent[1]["body"]).get("error", "")


@pytest.mark.parametrize("host", ["localhost:8080", "LocalHost:8080", "127.0.0.1:8080", "[::1]:8080"])
def test_the_names_of_this_machine_are_taken(host):
    assert ask(("host", host)) == (200, "")


@pytest.mark.parametrize(
    "hosts",
    [
        pytest.param(["evil.example:8080"], id="a rebound name"),
        pytest.param(["evil.example"], id="a name without a port"),
        pytest.param(["localhost"], id="no port"),
        pytest.param(["localhost:8081"], id="another port"),
        pytest.param(["localhost.evil.example:8080"], id="a name that begins well"),
        pytest.param(["127.0.0.1:8080@evil.example"], id="a user"),
        pytest.param(["localhost.:8080"], id="a dot at the end"),
        pytest.param(["127.1:8080"], id="a short address"),
        pytest.param(["0x7f000001:8080"], id="an address as a number"),
        pytest.param(["0.0.0.0:8080"], id="every address"),
        pytest.param(["[::ffff:127.0.0.1]:8080"], id="an IPv4 address as an IPv6 one"),
        pytest.param(["::1:8080"], id="an IPv6 address without brackets"),
        pytest.param(["localhost:08080"], id="a port with a zero"),
        pytest.param([""], id="empty"),
        pytest.param([], id="none"),
        pytest.param(["localhost:8080", "evil.example"], id="two"),
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
def test_another_host_is_refused_in_one_sentence(hosts, method):
    status, error = ask(*(("host", host) for host in hosts), ("content-type", "application/json"), method=method)
    assert status == 403
    assert error.endswith(
        "is not this server; it serves this machine only, as localhost:8080, 127.0.0.1:8080, [::1]:8080"
    )


def test_on_port_80_no_port_is_needed():
    assert ask(("host", "localhost"), port=80)[0] == ask(("host", "localhost:80"), port=80)[0] == 200


def test_another_address_of_loopback_has_its_own_name():
    assert ask(("host", "127.0.0.2:8080"), host="127.0.0.2") == (200, "")
    assert ask(("host", "127.0.0.2:8080"))[0] == 403


@pytest.mark.parametrize("kind", ["application/json", "application/json; charset=utf-8", "Application/JSON"])
def test_json_is_taken(kind):
    assert ask(("host", "localhost:8080"), ("content-type", kind), method="POST") == (200, "")


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "text/plain; a=application/json"]
)
def test_what_a_page_may_post_without_asking_is_refused(kind):
    status, error = ask(("host", "localhost:8080"), ("content-type", kind), method="POST")
    assert status == 415
    assert error == f"Content-Type: {kind!r} was given, a server on loopback takes application/json only"


def test_a_post_without_a_type_is_refused():
    assert ask(("host", "localhost:8080"), method="POST")[0] == 415


@pytest.mark.parametrize(
    ("host", "is_local"),
    [
        ("127.0.0.1", True),
        ("127.0.0.2", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("10.0.0.1", False),
    ],
)
def test_only_addresses_of_loopback_are_local(host, is_local):
    assert is_loopback(host) == is_local
