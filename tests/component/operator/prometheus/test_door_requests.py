"""What the door sends, where, and with which token."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from aiohttp import web
from prometheus_servers import (
    QUERY,
    Servers,
    ask,
    good,
    refuses,
    replying,
    success,
    with_servers,
)

from tuneloop_operator.prometheus.answer import Number, Unanswered
from tuneloop_operator.prometheus.door import Place, PrometheusDoor

if TYPE_CHECKING:
    pass


def test_a_query_is_a_form_that_is_posted():
    async def life(servers: Servers) -> None:
        address = await servers.answering(good("12.5"))
        answer = await ask(f"{address}/select/0/")
        assert isinstance(answer, Number)
        assert answer.value == 12.5
        ((method, path, headers, form),) = servers.asked.requests
        assert (method, path) == ("POST", "/select/0/api/v1/query")
        assert form == {"query": "sum(up{})", "timeout": "30"}
        assert headers["Accept-Encoding"] == "identity"
        assert "Authorization" not in headers

    with_servers(life)


def test_without_an_address_there_is_no_data():
    async def life(_servers: Servers) -> None:
        async with PrometheusDoor(None) as door:
            answer = await door.ask(QUERY)
        assert isinstance(answer, Unanswered)
        assert answer.verdict == "NoData"
        assert "TUNELOOP_PROMETHEUS_URL" in answer.reason

    with_servers(life)


def test_a_token_is_read_again_for_each_query(tmp_path):
    async def life(servers: Servers) -> None:
        address = await servers.answering(good())
        token = tmp_path / "token"
        async with PrometheusDoor(Place(address=address, token_file=token)) as door:
            for text in ("first-token\n", "second-token"):
                token.write_text(text)
                assert isinstance(await door.ask(QUERY), Number)
        sent = [headers["Authorization"] for _, _, headers, _ in servers.asked.requests]
        assert sent == ["Bearer first-token", "Bearer second-token"]

    with_servers(life)


@pytest.mark.parametrize(
    "content",
    [None, b"", b" \n", b"7-bytes", b"two\nlines", b"two words", b"\xff" * 8, b"a-token\r\nEvil: 1", b"x" * 65537],
)
def test_without_a_token_nothing_is_sent(tmp_path, content):
    token = tmp_path / "token"
    if content is not None:
        token.write_bytes(content)

    async def life(servers: Servers) -> None:
        address = await servers.answering(good())
        complaint = "holds no token: one line of 8 or more visible ASCII characters"
        if content is None:
            complaint = "cannot be read (No such file or directory)"
        refuses(await ask(address, token_file=token), address, f"the file with the token {token} {complaint}")
        assert not servers.asked.requests

    with_servers(life)


@pytest.mark.parametrize("place", ["body", "content_type"])
def test_a_token_that_comes_back_is_not_shown(tmp_path, place):
    async def echo(request: web.Request) -> web.Response:
        sent = request.headers["Authorization"]
        body = json.dumps({"status": "error", "error": sent}).encode()
        if place == "body":
            return web.Response(status=401, body=body, content_type="application/json")
        return web.Response(status=401, body=b"", headers={"Content-Type": f"text/{sent}"})

    async def life(servers: Servers) -> None:
        (tmp_path / "token").write_text("a-secret")
        address = await servers.answering(echo)
        answer = await ask(address, token_file=tmp_path / "token")
        refuses(answer, address, "HTTP 401 with an answer that repeats the token, and is not shown")

    with_servers(life)


def test_a_token_is_not_for_http(tmp_path):
    with pytest.raises(ValueError, match="over https or to loopback only, not to http://prometheus"):
        Place(address="http://prometheus", token_file=tmp_path)


def test_a_credential_is_no_part_of_an_address():
    with pytest.raises(ValueError, match="allowed is an http or https address without user"):
        Place(address="http://me:secret@prometheus")


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(tmp_path, status):
    async def life(servers: Servers) -> None:
        (tmp_path / "token").write_text("a-secret")
        elsewhere = Servers(servers._stack)
        other = (await elsewhere.answering(good())).replace("127.0.0.1", "127.0.0.2")
        address = await servers.answering(replying(status=status, headers={"Location": other}))
        answer = await ask(address, token_file=tmp_path / "token")
        refuses(answer, address, f"HTTP {status}, a redirect, which is not followed: give the final address")
        assert not elsewhere.asked.requests

    with_servers(life)


def test_a_proxy_of_the_environment_is_not_used(monkeypatch):
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")

    async def life(servers: Servers) -> None:
        assert isinstance(await ask(await servers.answering(good())), Number)

    with_servers(life)


def test_a_cookie_is_not_sent_back():
    async def life(servers: Servers) -> None:
        address = await servers.answering(
            replying(body=success(), content_type="application/json", headers={"Set-Cookie": "a=b"})
        )
        async with PrometheusDoor(Place(address=address.replace("127.0.0.1", "localhost"))) as door:
            assert all([isinstance(await door.ask(QUERY), Number) for _ in range(2)])
        assert not any("Cookie" in headers for _, _, headers, _ in servers.asked.requests)

    with_servers(life)
