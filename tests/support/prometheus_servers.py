"""Servers in the place of Prometheus, on loopback, and a door that asks them."""

from __future__ import annotations

import asyncio
import json
import ssl
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from aiohttp import web

from tuneloop_operator.prometheus.answer import Answer, Unanswered
from tuneloop_operator.prometheus.door import Place, PrometheusDoor
from tuneloop_operator.prometheus.query import total

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

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


async def another_protocol() -> Any:
    yield b"SSH-2.0-OpenSSH_9.2\r\n"
