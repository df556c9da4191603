"""What a client may cost before its request is read: bytes of headers, seconds, and connections at the same time.

httptools has no limits, and uvicorn's own (`h11_max_incomplete_event_size`, `limit_concurrency`) hold for h11 or refuse the probes, too.
A request that comes in whole costs a few comparisons: no timer is set for it, since `Connections.sweep` looks at all connections once a second.
"""

from __future__ import annotations

import heapq
import json
import logging
import resource
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import uvicorn
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from tuneloop_server.client import Client, attach

if TYPE_CHECKING:
    import asyncio

    from starlette.types import ASGIApp

_KEEP_ALIVE_SECONDS = 75
"""Longer than a proxy keeps an idle connection (often 60 s). So the proxy closes it, and sends no request into a closed connection."""
_PIECE = 32 * 1024
"""Bytes that are parsed before the limits are looked at; also the most header bytes that are not counted yet."""
_OTHER_FILES = 100
"""File descriptors that are kept for everything but connections."""
_LOG_SECONDS = 60.0
_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class ConnectionLimits:
    """What one client may use."""

    connections: int = 1024
    """Most open connections. For a further one, the connection is closed that has waited longest for its client."""
    header_bytes: int = 32 * 1024
    """Names and values of all headers, with the URL."""
    headers: int = 100
    url_bytes: int = 8 * 1024
    header_seconds: float = 10.0
    """From the first byte of a request, or from the connection, until its headers are complete."""
    body_seconds: float = 30.0
    """From then until the body is complete."""
    answer_seconds: float = 60.0
    """Until the client has read an answer."""
    requests_ahead: int = 16
    """Requests that a client sends before an earlier one is answered. One more closes the connection."""
    bytes_ahead: int = 64 * 1024
    """Of these requests, with their bodies. More close the connection."""
    linger_seconds: float = 5.0
    """After a refusal the connection stays open for so long, and drops what comes in. If it closed at once, the client might not receive the refusal."""


def connection_limit(*, max_queue: int, metrics_connections: int = 0) -> int:
    """Return how many connections fit: enough for a full queue and 1024 more, as far as the process may open files.

    The limit of open files is raised where the system allows. metrics_connections: those of the second port, whose files are kept free.
    """
    wanted, kept = ConnectionLimits.connections + max_queue, _OTHER_FILES + metrics_connections
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < wanted + kept:
        most = wanted + kept if hard == resource.RLIM_INFINITY else min(hard, wanted + kept)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
        return max(most - kept, 1)
    return wanted


def uvicorn_config(app: ASGIApp, connections: Connections, *, drain_seconds: int, **options: Any) -> uvicorn.Config:
    """Return how uvicorn serves an application to these connections. drain_seconds: for the last answers, once the server is stopped."""
    return uvicorn.Config(
        app,
        loop="uvloop",
        http=cast("type[asyncio.Protocol]", connections.connect),
        ws="none",
        log_config=None,
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,  # nothing here asks for a client's address
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=drain_seconds,
        **options,
    )


_NOTHING, _HEADERS, _BODY = range(3)
"""What the client is to send. Plain numbers, since they are compared several times for each request."""


class Connections:
    """The connections of one server, and their limits. `connect` is what uvicorn calls for a new connection (`http=`)."""

    def __init__(self, limits: ConnectionLimits) -> None:
        self.limits = limits
        self._all: dict[Connection, None] = {}
        """In the order of their arrival, which decides between those that began to wait at the same time."""
        self._logged_at = -_LOG_SECONDS

    @property
    def count(self) -> int:
        """How many are open."""
        return len(self._all)

    def connect(self, **uvicorn: Any) -> Connection:
        """Return the protocol of a new connection."""
        return Connection(self, **uvicorn)

    def add(self, new: Connection, *, now: float) -> None:
        """Count a connection. Past the limit, those are closed that have waited longest for their clients; if none waits, the new one is closed."""
        self._all[new] = None
        if len(self._all) <= self.limits.connections:
            return
        self._log_seldom(now)
        idle = [connection for connection in self._all if connection is not new and connection.waits_for_client]
        # Some more than one: then the next ones need no search.
        chosen = heapq.nsmallest(self.limits.connections // 16 + 1, idle, key=lambda connection: connection.rank)
        for connection in chosen or [new]:
            self.remove(connection)
            connection.transport.abort()

    def _log_seldom(self, now: float) -> None:
        if now - self._logged_at >= _LOG_SECONDS:
            self._logged_at = now
            _log.warning(
                "%d connections are open: for new ones those are closed that wait longest for their clients",
                len(self._all),
            )

    def remove(self, connection: Connection) -> None:
        """Do not count a connection any more."""
        self._all.pop(connection, None)

    def sweep(self, now: float) -> None:
        """End what takes too long."""
        for connection in list(self._all):
            connection.check_deadlines(now)


class Connection(HttpToolsProtocol):
    """uvicorn's protocol with limits."""

    def __init__(self, connections: Connections, **uvicorn: Any) -> None:
        super().__init__(**uvicorn)
        self._group = connections
        self._limits = connections.limits
        self._client = Client()
        self._reading = _HEADERS
        self._since = 0.0
        """When the wait for the client began."""
        self._unsent_since: float | None = None
        self._unanswered = 0
        """Requests that have come in whole, less the answers."""
        self._refused = False
        self._uncounted = 0
        """Bytes since the last progress: headers that are not complete, or bytes around a body, such as trailers."""
        self._piece_bytes = 0
        self._progress = False
        self._bytes_ahead = 0

    @property
    def waits_for_client(self) -> bool:
        """Whether the client has to do something: send a request or read an answer."""
        return self._unanswered <= 0 or self.transport.get_write_buffer_size() > 0

    @property
    def rank(self) -> tuple[bool, float]:
        """The smallest is closed first: connections whose request is not complete come before those between two requests. The oldest comes first."""
        return self._reading == _NOTHING, self._since

    def check_deadlines(self, now: float) -> None:
        """End the connection if its client takes too long."""
        if not self.transport.get_write_buffer_size():
            self._unsent_since = None
        elif self._unsent_since is None:
            self._unsent_since = now
        elif now - self._unsent_since > self._limits.answer_seconds:
            self.transport.abort()
            return
        waited = now - self._since
        if self._refused:
            if waited > self._limits.linger_seconds:
                self.transport.abort()
        elif self.transport.is_closing() or self._unanswered > 0:
            return
        elif self._reading == _HEADERS and waited > self._limits.header_seconds:
            self._refuse(408, f"the headers did not come within {self._limits.header_seconds:g} s")
        elif self._reading == _BODY and waited > self._limits.body_seconds:
            self._refuse(408, f"the body did not come within {self._limits.body_seconds:g} s")

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._since = self.loop.time()
        self._group.add(self, now=self._since)

    def connection_lost(self, exc: Exception | None) -> None:
        self._group.remove(self)
        super().connection_lost(exc)
        self._client.leave()

    def data_received(self, data: bytes) -> None:
        if self._reading == _NOTHING:
            self._reading, self._since = _HEADERS, self.loop.time()
        if len(data) <= _PIECE:
            self._parse(data)
            return
        for start in range(0, len(data), _PIECE):
            self._parse(data[start : start + _PIECE])

    def _parse(self, piece: bytes) -> None:
        if self._refused or self.transport.is_closing():
            return
        self._progress, self._piece_bytes = False, len(piece)
        super().data_received(piece)
        self._limit_requests_ahead(len(piece))
        self._uncounted = 0 if self._progress else self._uncounted + len(piece)
        if self._uncounted > self._limits.header_bytes or self._too_many_headers():
            self._refuse_headers()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        attach(self._client, self.scope["state"])

    def on_url(self, url: bytes) -> None:
        super().on_url(url)
        if len(self.url) > self._limits.url_bytes:
            self._refuse(414, f"the URL has more than {self._limits.url_bytes} bytes")

    def on_headers_complete(self) -> None:
        self._progress = True
        if self._uncounted + self._piece_bytes > self._limits.header_bytes:
            size = len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)
            if size > self._limits.header_bytes:
                self._refuse_headers()
        if self._too_many_headers():
            self._refuse_headers()
        if not self._refused:
            self._reading, self._since = _BODY, self.loop.time()
            super().on_headers_complete()
            self._limit_requests_ahead(0)

    def on_body(self, body: bytes) -> None:
        self._progress = True
        if not self._refused:
            super().on_body(body)

    def on_message_complete(self) -> None:
        self._progress = True
        if not self._refused:
            self._reading = _NOTHING
            self._unanswered += 1
            super().on_message_complete()

    def on_response_complete(self) -> None:
        self._unanswered -= 1
        self._since = self.loop.time()
        super().on_response_complete()

    def _limit_requests_ahead(self, size: int) -> None:
        """Close a connection on which too much waits for an earlier answer: uvicorn keeps it all, and reads on after each answer."""
        self._bytes_ahead = self._bytes_ahead + size if self.pipeline else 0
        if len(self.pipeline) > self._limits.requests_ahead or self._bytes_ahead > self._limits.bytes_ahead:
            self._refused = True
            self.transport.abort()

    def _too_many_headers(self) -> bool:
        return self.headers is not None and len(self.headers) > self._limits.headers

    def _refuse_headers(self) -> None:
        limits = self._limits
        self._refuse(431, f"the headers have more than {limits.header_bytes} bytes, or are more than {limits.headers}")

    def _refuse(self, status: int, message: str) -> None:
        """Answer with an error and close. Where an answer is under way, the connection is only closed."""
        if self._refused:
            return
        self._refused, self._since = True, self.loop.time()
        self.headers = []
        cycle = cast("Any", self.cycle)
        if self._unanswered > 0 or (cycle is not None and cycle.response_started and self._reading == _BODY):
            self.transport.abort()
            return
        content = json.dumps({"error": message}).encode()
        head = b"content-type: application/json\r\nconnection: close\r\ncontent-length: %d\r\n\r\n" % len(content)
        self.transport.write(STATUS_LINE[status] + head + content)
        if cycle is not None and not cycle.response_complete:  # the application still reads the body
            cycle.disconnected = True
            cycle.message_event.set()
        self.flow.resume_reading()
        self.transport.write_eof()
