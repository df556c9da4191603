"""The door against servers that misbehave: each answer is a number or one sentence, in time and in little memory."""

from __future__ import annotations

import asyncio
import gzip
import json
import ssl
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
import self_signed
from aiohttp import web
from waiting import eventually

from tuneloop_operator.prometheus.answer import Answer, Number, Unanswered
from tuneloop_operator.prometheus.door import MOST_QUERIES, Place, PrometheusDoor
from tuneloop_operator.prometheus.query import total

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

QUERY = total("up")
SHORT, LONG = 0.5, 30.0
"""Seconds of a door: where the test waits for their end, and where it must not come to it."""


def success(value: str = "1", **more: Any) -> bytes:
    series = {"metric": {}, "value": [time.time(), value]}
    return json.dumps({"status": "success", "data": {"resultType": "vector", "result": [series]}} | more).encode()


@dataclass
class Asked:
    """The requests that a server got."""

    requests: list[tuple[str, str, dict[str, str], dict[str, str]]] = field(default_factory=list)
    """Method, path, headers, form."""

    async def note(self, request: web.Request) -> None:
        form = {name: str(value) for name, value in (await request.post()).items()}
        self.requests.append((request.method, request.path, dict(request.headers), form))


class Servers:
    """Servers on loopback for one test."""

    def __init__(self, stack: AsyncExitStack) -> None:
        self._stack = stack
        self.asked = Asked()

    async def answering(
        self, handler: Callable[[web.Request], Awaitable[web.StreamResponse]], tls: ssl.SSLContext | None = None
    ) -> str:
        """Serve every page with a handler; return the address."""

        async def note_and_handle(request: web.Request) -> web.StreamResponse:
            await self.asked.note(request)
            return await handler(request)

        app = web.Application()
        app.router.add_route("*", "/{path:.*}", note_and_handle)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        self._stack.push_async_callback(runner.cleanup)
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
        return f"{'https' if tls else 'http'}://127.0.0.1:{runner.addresses[0][1]}"

    async def sending(self, parts: Callable[[], Any], *, end: bool = True) -> str:
        """Serve raw bytes: the parts of an async generator, whatever is asked; then close, or stay silent. Return the address."""

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                await reader.read(1)
                async for part in parts():
                    writer.write(part)
                    await writer.drain()
                await reader.read() if not end else None
            except OSError:
                pass
            finally:
                writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        self._stack.callback(server.close)
        return f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


def with_servers(life: Callable[[Servers], Awaitable[None]]) -> None:
    async def run() -> None:
        async with asyncio.timeout(60), AsyncExitStack() as stack:
            await life(Servers(stack))

    asyncio.run(run())


async def ask(address: str, *, seconds: float = LONG, **place: Any) -> Answer:
    async with PrometheusDoor(Place(address=address, **place), seconds=seconds) as door:
        return await door.ask(QUERY)


def refuses(answer: Answer, address: str, sentence: str) -> None:
    """Check an error: it names the address, and says the sentence."""
    assert isinstance(answer, Unanswered), answer
    assert answer.verdict == "Error"
    assert answer.reason == f"Prometheus at {address}: {sentence}"


def replying(**response: Any) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def handler(_request: web.Request) -> web.Response:
        return web.Response(**response)

    return handler


def good(value: str = "1") -> Callable[[web.Request], Awaitable[web.Response]]:
    return replying(body=success(value), content_type="application/json")


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


async def another_protocol() -> Any:
    yield b"SSH-2.0-OpenSSH_9.2\r\n"


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


def certificate(folder: Path, name: str, *, names: str = "IP:127.0.0.1") -> tuple[Path, ssl.SSLContext]:
    """Return a certificate that is its own authority, and the context of its server."""
    file, key = folder / f"{name}.crt", folder / f"{name}.key"
    self_signed.write_certificate(file, key, common_name=name, alternative_names=names)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(file, key)
    return file, context


def test_a_certificate_is_trusted_by_the_file_of_authorities_alone(tmp_path):
    async def life(servers: Servers) -> None:
        trusted, tls = certificate(tmp_path, "own")
        (tmp_path / "token").write_text("a-secret")
        address = await servers.answering(good(), tls)
        token = {"token_file": tmp_path / "token"}
        refuses(await ask(address, **token), address, "its certificate is not trusted (self-signed certificate)")
        assert not servers.asked.requests
        assert isinstance(await ask(address, ca_file=trusted, **token), Number)
        assert servers.asked.requests[0][2]["Authorization"] == "Bearer a-secret"

    with_servers(life)


def test_a_certificate_is_for_the_host_that_was_asked(tmp_path):
    async def life(servers: Servers) -> None:
        trusted, tls = certificate(tmp_path, "own", names="IP:127.0.0.2")
        address = await servers.answering(good(), tls)
        answer = await ask(address, ca_file=trusted)
        assert isinstance(answer, Unanswered)
        assert "its certificate is not trusted (IP address mismatch" in answer.reason

    with_servers(life)


def test_authorities_that_change_are_read_again(tmp_path):
    async def life(servers: Servers) -> None:
        authorities = tmp_path / "ca.crt"
        authorities.write_bytes(certificate(tmp_path, "old")[0].read_bytes())
        new, tls = certificate(tmp_path, "new")
        address = await servers.answering(good(), tls)
        async with PrometheusDoor(Place(address=address, ca_file=authorities)) as door:
            assert isinstance(await door.ask(QUERY), Unanswered)
            authorities.write_bytes(new.read_bytes() + b"\n")
            assert isinstance(await door.ask(QUERY), Number)

    with_servers(life)


@pytest.mark.parametrize(
    ("content", "cause"), [(None, "No such file or directory"), (b"no PEM", "NO_CERTIFICATE_OR_CRL_FOUND")]
)
def test_authorities_that_cannot_be_read_are_named(tmp_path, content, cause):
    async def life(servers: Servers) -> None:
        _, tls = certificate(tmp_path, "own")
        address = await servers.answering(good(), tls)
        authorities = tmp_path / "ca.crt"
        if content is not None:
            authorities.write_bytes(content)
        answer = await ask(address, ca_file=authorities)
        refuses(answer, address, f"the file of authorities {authorities} cannot be used ({cause})")

    with_servers(life)


def test_tls_to_a_port_without_it_is_an_error():
    async def life(servers: Servers) -> None:
        address = (await servers.sending(another_protocol)).replace("http:", "https:")
        answer = await ask(address)
        assert isinstance(answer, Unanswered)
        assert answer.reason.startswith(f"Prometheus at {address}: no connection (")

    with_servers(life)


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
