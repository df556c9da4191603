"""A port of local mode on loopback is for our own processes. A web page must not drive it, although the page's browser runs on this machine.

A page reaches loopback by a name that it makes point there (DNS rebinding): then the Host header holds that name. And it may POST without asking
first, as long as the content type is one of a form: then the type is not JSON. The model server has the same rules.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from aiohttp import web

from tuneloop_cli.local.processes.ports import LOOPBACK
from tuneloop_operator.serving import REQUEST_LOG

if TYPE_CHECKING:
    import socket
    from collections.abc import AsyncIterator

    from aiohttp.typedefs import Handler, Middleware

_JSON = "application/json"
_SHUTDOWN_SECONDS = 0.2
"""For answers that are under way when the port closes. A long poll is not waited for."""


@asynccontextmanager
async def served_to_own_processes(app: web.Application, listening: socket.socket) -> AsyncIterator[None]:
    """Serve an application on a socket that listens on loopback, by the rules of `for_own_processes`."""
    app.middlewares.append(for_own_processes(port=listening.getsockname()[1]))
    runner = web.AppRunner(app, access_log=None, logger=REQUEST_LOG, shutdown_timeout=_SHUTDOWN_SECONDS)
    await runner.setup()
    try:
        await web.SockSite(runner, listening).start()
        yield
    finally:
        await runner.cleanup()


def for_own_processes(*, port: int) -> Middleware:
    """Return a middleware that answers 403 to another Host than this port's, and 415 to a POST that is not JSON."""
    allowed = {f"{LOOPBACK}:{port}", f"localhost:{port}"}

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.headers.getall("Host", []) != [request.host] or request.host.lower() not in allowed:
            return web.json_response({"error": "Host: this port is for processes of this machine"}, status=403)
        if request.method == "POST" and request.content_type != _JSON:
            return web.json_response({"error": f"Content-Type: only {_JSON} is taken here"}, status=415)
        return await handler(request)

    return check
