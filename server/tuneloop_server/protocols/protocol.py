"""The seam `WireProtocol`: what clients send and get. `endpoint` does what all protocols share: limits, errors, metrics, draining."""

from __future__ import annotations

import json
import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from tuneloop_server.errors import RequestError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from starlette.routing import Route

    from tuneloop_server.errors import Reason
    from tuneloop_server.lifecycle import ModelService

MOST_BODY_BYTES = 1024 * 1024
_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class WireProtocol:
    """A protocol that clients speak. Protocols do not share paths."""

    name: str
    """The label `protocol` of the request metrics."""
    routes: Callable[[ModelService], Sequence[Route]]


def endpoint(
    service: ModelService, *, protocol: str, respond: Callable[[bytes], Awaitable[bytes]]
) -> Callable[[Request], Awaitable[Response]]:
    """Return the handler of a route. respond: the request's body → the JSON of the response; may raise RequestError."""

    async def handle(request: Request) -> Response:
        start = time.perf_counter()
        reason: Reason = "ok"
        status = 200
        headers = {"content-type": "application/json"}
        with service.monitoring.inflight.track_inprogress():
            try:
                content = await _content(respond, request)
            except RequestError as error:
                status, reason = error.status, error.reason
                content = json.dumps({"error": str(error)}, ensure_ascii=False).encode()
                if error.retry_after is not None:
                    headers["retry-after"] = str(error.retry_after)
        # While draining, a client must find another server. After 413 a part of the body is unread.
        if service.draining or status == 413:
            headers["connection"] = "close"
        service.monitoring.request_done(protocol, status=status, reason=reason, seconds=time.perf_counter() - start)
        return Response(content, status_code=status, headers=headers)

    return handle


async def _content(respond: Callable[[bytes], Awaitable[bytes]], request: Request) -> bytes:
    """Return the JSON of the response. Raises RequestError, also for a defect."""
    try:
        return await respond(await _body(request))
    except RequestError:
        raise
    except Exception as error:
        _log.exception("a request failed")
        message = "the server failed on this request; its log says why"
        raise RequestError(message, status=500, reason="model_error") from error


async def _body(request: Request) -> bytes:
    """Return the body. Raises RequestError past 1 MiB, without reading on."""
    declared = request.headers.get("content-length", "0")
    if declared.isascii() and declared.isdigit() and int(declared) > MOST_BODY_BYTES:
        raise _too_large(f"{declared} bytes")
    parts: list[bytes] = []
    size = 0
    try:
        async for part in request.stream():
            parts.append(part)
            size += len(part)
            if size > MOST_BODY_BYTES:
                raise _too_large("more")
    except ClientDisconnect:
        raise RequestError("the body ended early", status=400, reason="validation") from None
    return b"".join(parts)


def _too_large(found: str) -> RequestError:
    message = (
        f"the body has {found}, at most {MOST_BODY_BYTES} bytes (1 MiB) are allowed; send fewer texts in one request"
    )
    return RequestError(message, status=413, reason="validation")
