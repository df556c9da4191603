"""Server-sent events: an answer that goes out as it grows.

The first event is there before the response begins, so that what goes wrong until then has a status of its own. What goes wrong later is the last event.
Source: https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

from __future__ import annotations

import asyncio
import json
import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tuneloop_server.errors import RequestError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Mapping

    from starlette.types import Send

    from tuneloop_server.client import Client
    from tuneloop_server.errors import Reason

DONE = b"data: [DONE]\n\n"
EVENT_SECONDS = 120.0
"""Most time between two events: only a model that stands still takes longer."""
HEADERS = {"content-type": "text/event-stream; charset=utf-8", "cache-control": "no-cache", "x-accel-buffering": "no"}
"""The last one is for nginx, which would gather the events of an answer."""
_log = logging.getLogger(__name__)


def event(data: object) -> bytes:
    """Return an event with JSON data."""
    return b"data: " + json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode() + b"\n\n"


@dataclass(frozen=True, kw_only=True)
class EventStream:
    """A response that has begun."""

    first: bytes
    rest: AsyncGenerator[bytes]
    error_event: Callable[[RequestError], bytes]
    headers: Mapping[str, str] = field(default_factory=dict)
    """Beside those of all streams."""


async def begun(
    events: AsyncGenerator[bytes],
    *,
    error_event: Callable[[RequestError], bytes],
    headers: Callable[[], Mapping[str, str]] = dict,
) -> EventStream:
    """Return a stream once its first event is there. headers: are asked for then. Raises what the events raise until then."""
    first = await anext(events)
    return EventStream(first=first, rest=events, error_event=error_event, headers=headers())


async def send_events(stream: EventStream, send: Send, *, client: Client) -> Reason:
    """Send the body of a response; return how it ended. A client that leaves ends the events, and so the work for them."""
    try:
        with client.answering():
            await _send(send, stream.first)
            while True:
                try:
                    async with asyncio.timeout(EVENT_SECONDS):
                        following = await anext(stream.rest)
                except StopAsyncIteration:
                    break
                await _send(send, following)
        reason: Reason = "ok"
    except asyncio.CancelledError:
        if not client.left:
            raise
        return "client_left"
    except Exception as error:  # noqa: BLE001  (the status is sent: the client can learn of it by an event alone)
        failure = _failure(error)
        reason = failure.reason
        await _send(send, stream.error_event(failure))
    finally:
        await stream.rest.aclose()
    await send({"type": "http.response.body", "body": b""})
    return reason


async def _send(send: Send, part: bytes) -> None:
    await send({"type": "http.response.body", "body": part, "more_body": True})


def _failure(error: Exception) -> RequestError:
    if isinstance(error, RequestError):
        return error
    if isinstance(error, TimeoutError):
        message = f"the model added no token within {EVENT_SECONDS:g} s"
        return RequestError(message, status=503, reason="timeout")
    _log.error("a stream failed", exc_info=error)
    return RequestError("the server failed on this request; its log says why", status=500, reason="model_error")
