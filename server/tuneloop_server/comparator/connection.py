"""One HTTP/1.1 connection to a revision: a request out, an answer back, as bytes of bounded size, with the time that it took.

By hand over httptools, since the time is measured here where the bytes come in, and since a client library costs more than all the rest of a comparison.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, cast

import httptools

from tuneloop_api.contract.router import RETRY_HEADER
from tuneloop_server.comparator.replies import Failure, Reply, failure_of

if TYPE_CHECKING:
    from tuneloop_api.contract.comparator_config import RevisionAddress

_RETRY_HEADER = RETRY_HEADER.encode()
_HEADER_BYTES = 64 * 1024
"""Beside the body: status line, headers, and what frames chunks."""
_INFORMATION = 200
"""Below this status an answer is only announced."""


class ConnectionBroke(Exception):  # noqa: N818  (named for what it means)
    """The connection ended before the answer was whole."""

    def __init__(self, *, began: bool) -> None:
        super().__init__("the connection ended before the answer was whole")
        self.began = began
        """A byte of the answer had come."""


class Connection(asyncio.Protocol):
    """A connection that is kept for one request after another."""

    def __init__(self, *, answer_bytes: int) -> None:
        self._answer_bytes = answer_bytes
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._answer: asyncio.Future[Reply] | None = None
        self._parts: list[bytes] = []
        self._received = self._body_bytes = 0
        self._sent_at = 0.0
        self._not_begun = False
        self.requests = 0
        self.is_open = False

    async def exchange(self, request: bytes) -> Reply:
        """Send a request and return the reply. Raises ConnectionBroke. Where the caller stops waiting, the connection is closed."""
        assert self._transport is not None
        assert self._answer is None
        self._answer = asyncio.get_running_loop().create_future()
        self._parts, self._received, self._body_bytes, self._not_begun = [], 0, 0, False
        self.requests += 1
        self._sent_at = time.perf_counter()
        self._transport.write(request)
        try:
            return await self._answer
        except asyncio.CancelledError:
            self.close()
            raise
        finally:
            self._answer = None

    def close(self) -> None:
        """Close at once: nothing more is wanted of it."""
        self.is_open = False
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self.is_open = True

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        self.is_open = False
        self._break()

    def data_received(self, data: bytes) -> None:
        if self._answer is None or self._answer.done():  # bytes that nobody asked for
            self.close()
            return
        self._received += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._end(Reply(failure=Failure.SERVER_ERROR))
            self.close()
        except httptools.HttpParserError:
            self._end(Reply(failure=Failure.UNREADABLE))
            self.close()
        if self._received - self._body_bytes > _HEADER_BYTES:
            self._end(Reply(failure=Failure.TOO_LARGE))
            self.close()

    def on_message_begin(self) -> None:
        """Close where an answer begins that nobody asked for: it would pass for the answer to the next request."""
        if self._answer is None or self._answer.done():
            self.close()

    def on_header(self, name: bytes, value: bytes) -> None:  # noqa: ARG002
        """Note a server that has not begun the request."""
        self._not_begun |= name.lower() == _RETRY_HEADER

    def on_body(self, body: bytes) -> None:
        """Keep a part of the body, up to the limit."""
        self._body_bytes += len(body)
        if self._body_bytes > self._answer_bytes:
            self._parts = []
            self._end(Reply(failure=Failure.TOO_LARGE))
            self.close()
        else:
            self._parts.append(body)

    def on_message_complete(self) -> None:
        """The answer is whole."""
        seconds = time.perf_counter() - self._sent_at
        status = self._parser.get_status_code()
        if status < _INFORMATION:
            return
        failure = failure_of(status, not_begun=self._not_begun)
        body, self._parts = b"".join(self._parts), []
        if not self._parser.should_keep_alive():
            self.close()
        self._end(Reply(failure=failure) if failure else Reply(body=body, seconds=seconds))

    def _end(self, reply: Reply) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(reply)

    def _break(self) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(ConnectionBroke(began=self._received > 0))


async def connect(address: RevisionAddress, *, answer_bytes: int) -> Connection:
    """Return a new connection. Raises OSError."""
    loop = asyncio.get_running_loop()
    _, connection = await loop.create_connection(
        lambda: Connection(answer_bytes=answer_bytes), address.host, address.port
    )
    return connection
