"""A server on loopback is for this machine. A web page must not drive it, although the page's browser runs on this machine.

A page reaches loopback by a name that it makes point there (DNS rebinding): then the Host header holds that name. And it may POST without asking
first, as long as the content type is one of a form: then the type is not JSON.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

from starlette.datastructures import Headers
from starlette.responses import JSONResponse

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

_HOSTS = ("localhost", "127.0.0.1", "[::1]")
_JSON = "application/json"


def is_loopback(host: str) -> bool:
    """Tell whether a server that is bound to this host is reached from this machine only."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class LoopbackOnly:
    """An application that refuses what no program of this machine sends by itself."""

    def __init__(self, app: ASGIApp, *, host: str, port: int) -> None:
        """host, port: where the server listens."""
        self._app = app
        names = dict.fromkeys((*_HOSTS, f"[{host}]" if ":" in host else host))
        self._hosts = [f"{name}:{port}" for name in names]
        self._allowed = {*self._hosts, *(names if port == 80 else ())}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 403 to another Host, 415 to a POST that is not JSON."""
        refusal = self._refusal(scope) if scope["type"] == "http" else None
        await (refusal or self._app)(scope, receive, send)

    def _refusal(self, scope: Scope) -> JSONResponse | None:
        headers = Headers(scope=scope)
        hosts = headers.getlist("host")
        if len(hosts) != 1 or hosts[0].lower() not in self._allowed:
            found = hosts[0][:60] if hosts else ""
            return _refuse(
                403, f"Host: {found!r} is not this server; it serves this machine only, as {', '.join(self._hosts)}"
            )
        kind = headers.get("content-type", "")
        if scope["method"] == "POST" and kind.partition(";")[0].strip().lower() != _JSON:
            return _refuse(415, f"Content-Type: {kind[:60]!r} was given, a server on loopback takes {_JSON} only")
        return None


def _refuse(status: int, message: str) -> JSONResponse:
    # the body is not read
    return JSONResponse({"error": message}, status_code=status, headers={"connection": "close"})
