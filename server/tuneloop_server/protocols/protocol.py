"""The seam `WireProtocol`: what clients send and get. `Endpoint` does what all protocols share: limits, metrics, draining."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from starlette.requests import Request

from tuneloop_api.contract.router import RETRY_HEADER
from tuneloop_server.body_memory import BodyShare
from tuneloop_server.client import client_of
from tuneloop_server.errors import RequestError, plain_error
from tuneloop_server.protocols.body import read_body
from tuneloop_server.protocols.event_stream import HEADERS, EventStream, send_events

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from starlette.routing import Route
    from starlette.types import Receive, Scope, Send

    from tuneloop_server.client import Client
    from tuneloop_server.errors import Reason
    from tuneloop_server.lifecycle import ModelService

    Respond: TypeAlias = Callable[[Request, bytes], Awaitable["Reply | EventStream"]]
    """(request, its body) → the reply, or one that has begun; may raise RequestError."""
    ErrorShape: TypeAlias = Callable[[RequestError], tuple[int, object]]
    """(why a request gets no answer) → status and JSON data of the response."""

ANSWER_SECONDS = 120.0
"""Most time between a request that has come in whole and its answer. The queue is bounded, so that only a model that stands still takes longer."""
GENERATION_SECONDS = 280.0
"""The same for an answer that is generated and not streamed. Routers give up a request on which no byte moves for 300 s."""
_CLIENT_LEFT = 499
"""The status in metrics of a request that nobody waits for any more; nginx has made it usual."""
_ANOTHER_SERVER_MAY = ("unavailable", "timeout")
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Reply:
    """What a request is answered with."""

    content: bytes
    """JSON."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """Beside `content-type`."""


@dataclass(frozen=True, kw_only=True)
class WireProtocol:
    """A protocol that clients speak. Protocols do not share paths."""

    name: str
    """The label `protocol` of the request metrics."""
    routes: Callable[[ModelService], Sequence[Route]]
    prefix: str | None = None
    """What the paths of the protocol begin with: where a client asks for one that is not there, it gets the error in the protocol's shape."""
    error_shape: ErrorShape = plain_error


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """The ASGI application of a route. It never raises for a request: also a defect is answered in the protocol's shape."""

    service: ModelService
    protocol: str
    """The label of the request metrics."""
    respond: Respond
    error_shape: ErrorShape = plain_error
    seconds: float | None = None
    """Most time until the answer, or until a stream begins; None: `ANSWER_SECONDS`."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        start = time.perf_counter()
        reason: Reason = "ok"
        status = 200
        headers = {"content-type": "application/json"}
        monitoring = self.service.monitoring
        with monitoring.inflight.track_inprogress():
            try:
                request = Request(scope, receive)
                reply = await _reply(self.respond, request, self.service, seconds=self.seconds)
                if isinstance(reply, EventStream):
                    await self._stream(reply, send, client=client_of(request), start=start)
                    return
                content = reply.content
                headers |= reply.headers
            except RequestError as error:
                reason = error.reason
                status, shaped = self.error_shape(error)
                content = json.dumps(shaped, ensure_ascii=False).encode()
                if error.retry_after is not None:
                    headers["retry-after"] = str(error.retry_after)
                if error.reason in _ANOTHER_SERVER_MAY:
                    headers[RETRY_HEADER] = "1"
        # While draining, a client must find another server. After 413 a part of the body is unread.
        if self.service.draining or status == 413:
            headers["connection"] = "close"
        headers["content-length"] = str(len(content))
        monitoring.request_done(self.protocol, status=status, reason=reason, seconds=time.perf_counter() - start)
        await send({"type": "http.response.start", "status": status, "headers": _raw(headers)})
        await send({"type": "http.response.body", "body": content})

    async def _stream(self, stream: EventStream, send: Send, *, client: Client, start: float) -> None:
        headers = HEADERS | dict(stream.headers) | ({"connection": "close"} if self.service.draining else {})
        await send({"type": "http.response.start", "status": 200, "headers": _raw(headers)})
        reason = await send_events(stream, send, client=client)
        status = _CLIENT_LEFT if reason == "client_left" else 200
        seconds = time.perf_counter() - start
        self.service.monitoring.request_done(self.protocol, status=status, reason=reason, seconds=seconds)


def _raw(headers: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]


async def _reply(
    respond: Respond, request: Request, service: ModelService, *, seconds: float | None
) -> Reply | EventStream:
    """Return the reply. Raises RequestError, also for a defect."""
    share = BodyShare(service.bodies)
    try:
        body = await read_body(request, share)
        return await _in_time(
            respond(request, body), client=client_of(request), seconds=ANSWER_SECONDS if seconds is None else seconds
        )
    except RequestError:
        raise
    except Exception as error:
        _log.exception("a request failed")
        message = "the server failed on this request; its log says why"
        raise RequestError(message, status=500, reason="model_error") from error
    finally:
        share.give_back()


async def _in_time(reply: Awaitable[Reply | EventStream], *, client: Client, seconds: float) -> Reply | EventStream:
    """Return the reply. Raises RequestError if it takes too long or its client leaves; its rows then leave the queue."""
    try:
        with client.answering():
            async with asyncio.timeout(seconds):
                return await reply
    except TimeoutError:
        message = f"the model did not answer within {seconds:g} s"
        raise RequestError(message, status=503, reason="timeout", retry_after=1) from None
    except asyncio.CancelledError:
        if not client.left:
            raise
        raise RequestError("the client left", status=_CLIENT_LEFT, reason="client_left") from None
