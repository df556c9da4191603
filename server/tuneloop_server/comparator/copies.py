"""Takes the copies of live requests that Envoy sends: every request is answered 202 with an empty body, and is queued or dropped.

Envoy discards the answer, but a request without one holds one of its connections; so nothing here waits for a revision. A copy has the Host that the
client gave, so a comparator on loopback cannot tell a copy from what a web page makes a browser send: either is asked of two models, and is seen by nobody.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import TYPE_CHECKING

from tuneloop_server.body_memory import BodyMemory, BodyShare
from tuneloop_server.comparator.backlog import Copy
from tuneloop_server.errors import RequestError

if TYPE_CHECKING:
    from collections.abc import Callable, Container

    from starlette.types import Receive, Scope, Send

    from tuneloop_api.contract.comparator_config import ComparatorLimits
    from tuneloop_server.comparator.backlog import Backlog
    from tuneloop_server.comparator.rate import Rate

_QUERY = re.compile(rb"[!-~]*")
"""What may stand in a request line; anything else could end it."""


class Arrival(StrEnum):
    """What becomes of a copy. The words are fields of `contract.comparison.CopyCounts`."""

    TAKEN = "taken"
    NOT_A_PREDICTION = "not_a_prediction"
    TOO_LARGE = "too_large"
    INCOMPLETE = "incomplete"
    RATE = "rate"
    FULL = "full"
    STOPPING = "stopping"


class Copies:
    """The ASGI application of the port for copies."""

    def __init__(
        self,
        backlog: Backlog,
        rate: Rate,
        limits: ComparatorLimits,
        *,
        paths: Container[str],
        count: Callable[[Arrival], None],
        clock: Callable[[], float],
    ) -> None:
        """paths: of predictions whose answers are read. count: is called once for each copy. clock: seconds, never going back."""
        self._backlog = backlog
        self._rate = rate
        self._limits = limits
        self._paths = paths
        self._memory = BodyMemory(limits.queue_bytes)
        self._count = count
        self._clock = clock
        self.is_stopping = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        self._count(await self._arrival(scope, receive))
        await send({"type": "http.response.start", "status": 202, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body"})

    async def _arrival(self, scope: Scope, receive: Receive) -> Arrival:
        target = self._target(scope)
        if target is None:
            return Arrival.NOT_A_PREDICTION
        if self.is_stopping:
            return Arrival.STOPPING
        if not self._rate.takes(self._clock()):
            return Arrival.RATE
        share = BodyShare(self._memory)
        arrival = await self._queue(target, receive, share)
        if arrival is not Arrival.TAKEN:
            share.give_back()
        return arrival

    async def _queue(self, target: bytes, receive: Receive, share: BodyShare) -> Arrival:
        """Read the body and queue the copy."""
        parts: list[bytes] = []
        size = 0
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return Arrival.INCOMPLETE
            part = message.get("body", b"")
            parts.append(part)
            size += len(part)
            if size > self._limits.body_bytes:
                return Arrival.TOO_LARGE
            try:
                share.grow(size)
            except RequestError:
                return Arrival.FULL
            if not message.get("more_body", False):
                break
        copy = Copy(target=target, body=b"".join(parts), share=share)
        return Arrival.TAKEN if self._backlog.put(copy) else Arrival.FULL

    def _target(self, scope: Scope) -> bytes | None:
        """Return path and query if this is a prediction whose answer is read."""
        query: bytes = scope["query_string"]
        path: str = scope["path"]
        if scope["method"] != "POST" or path not in self._paths or not _QUERY.fullmatch(query):
            return None
        return path.encode() + (b"?" + query if query else b"")
