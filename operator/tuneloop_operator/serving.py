"""Serves an aiohttp application on a port, with limits on connections: in all, for each address, and in time.

aiohttp and asyncio limit sizes and the TLS handshake, but not how many are connected, and each takes 70 KiB with TLS. So
connections are accepted here, one in each turn of the event loop, and a further one takes the place of the one that has waited longest.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import resource
import socket
from asyncio.sslproto import SSLProtocol
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Callable, Iterable
    from typing import NoReturn

    from aiohttp.typedefs import Handler

_LOG = logging.getLogger(__name__)
REQUEST_LOG = logging.getLogger(f"{__name__}.requests")
"""Of aiohttp, for the requests of a port. What is no HTTP is answered and not logged, or anybody who reaches the port could fill the log."""
REQUEST_LOG.addFilter(lambda record: not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError)))
_SWEEP_SECONDS = 0.5
_RETRY_SECONDS = 0.5
"""After an error of `accept`, such as too many open files."""
_BACKLOG = 512
"""Connections that the kernel keeps until they are accepted."""
_TLS_BUFFER_BYTES = 32 * 1024
"""Into which asyncio reads, for each connection. Its own 256 KiB, which it fills with zeros, are three quarters of a connection's memory."""
_MOST_HEADERS = 32
_MOST_LINE_BYTES = 8190
"""Of a header or of the first line; aiohttp's own default."""


@dataclass(frozen=True, kw_only=True)
class ServingLimits:
    """What clients may use of a port."""

    connections: int = 192
    address_connections: int = 48
    """From one address. Behind a Service the pods of a node may share one."""
    seconds: float = 10.0
    """For the TLS handshake, for a request to come in, and between two requests."""
    shutdown_seconds: float = 2.0
    """For the client to end TLS."""


class CannotListen(Exception):  # noqa: N818  (named as the state that it reports)
    """A port is taken or not allowed. The message names it."""


@dataclass(eq=False)
class _Connection:
    """One connection, from `accept` on."""

    socket: socket.socket
    address: str
    since: float
    """When the wait for the client began."""
    is_answered: bool = False
    """Whether a request is being answered: then the client waits for us."""
    connecting: asyncio.Task[None] | None = None
    transport: asyncio.Transport | None = None
    """None during the handshake."""

    def close(self) -> None:
        """Close at once, without a farewell that the client would have to answer."""
        if self.transport is not None:
            self.transport.abort()
        elif self.connecting is not None:
            self.connecting.cancel()


class _Port:
    """The connections of a port."""

    def __init__(self, limits: ServingLimits, tls: ssl.SSLContext | None) -> None:
        self._limits = limits
        times = {"ssl_handshake_timeout": limits.seconds, "ssl_shutdown_timeout": limits.shutdown_seconds}
        self._tls: dict[str, Any] = {"ssl": tls, **times} if tls else {}
        self._connections: dict[tuple[str, int], _Connection] = {}
        """By the client's address and port."""

    async def accept(self, listener: socket.socket, protocol: Callable[[], asyncio.Protocol]) -> NoReturn:
        """Accept connections for as long as the task lives."""
        loop = asyncio.get_running_loop()
        while True:
            try:
                accepted, peer = await loop.sock_accept(listener)
            except OSError as error:
                _LOG.warning("no connection can be accepted: %s; again in %.1f s", error, _RETRY_SECONDS)
                await asyncio.sleep(_RETRY_SECONDS)
                continue
            self._forget_closed()
            if self._has_room(peer[0]):
                connection = _Connection(accepted, peer[0], loop.time())
                self._connections[peer[:2]] = connection
                connection.connecting = asyncio.create_task(self._connect(connection, protocol))
            else:
                accepted.close()
            await asyncio.sleep(0)  # the other connections' turn; the task of this one begins

    async def sweep(self) -> NoReturn:
        """Close the connections whose clients take too long, also to read an answer, which aiohttp does not limit; for as long as the task lives."""
        while True:
            await asyncio.sleep(_SWEEP_SECONDS)
            self._forget_closed()
            latest = asyncio.get_running_loop().time() - self._limits.seconds
            for connection in self._connections.values():
                if not connection.is_answered and connection.since < latest:
                    connection.close()

    @web.middleware
    async def note_request(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Note that a request is being answered."""
        peer = request.get_extra_info("peername")
        connection = self._connections.get(peer[:2]) if peer else None
        if connection is None:
            return await handler(request)
        connection.is_answered = True
        try:
            return await handler(request)
        finally:
            connection.is_answered = False
            connection.since = asyncio.get_running_loop().time()

    async def _connect(self, connection: _Connection, protocol: Callable[[], asyncio.Protocol]) -> None:
        loop = asyncio.get_running_loop()
        with suppress(OSError):  # the client went away, or its TLS is none
            connection.transport, _ = await loop.connect_accepted_socket(protocol, connection.socket, **self._tls)

    def _forget_closed(self) -> None:
        self._connections = {
            peer: connection for peer, connection in self._connections.items() if connection.socket.fileno() >= 0
        }

    def _has_room(self, address: str) -> bool:
        """Tell whether one more connection may come from an address, after the one was closed that waits longest for its client."""
        here = {peer: connection for peer, connection in self._connections.items() if connection.address == address}
        if len(here) >= self._limits.address_connections:
            crowd = here
        elif len(self._connections) >= self._limits.connections:
            crowd = self._connections
        else:
            return True
        waiting = [peer for peer, connection in crowd.items() if not connection.is_answered]
        if not waiting:
            return False
        self._connections.pop(min(waiting, key=lambda peer: crowd[peer].since)).close()
        return True


@asynccontextmanager
async def served(
    app: web.Application, *, port: int, tls: ssl.SSLContext | None = None, limits: ServingLimits | None = None
) -> AsyncIterator[int]:
    """Serve an application on all addresses of the pod; yields the port. Raises CannotListen."""
    limits = limits or ServingLimits()
    if tls is not None:
        SSLProtocol.max_size = _TLS_BUFFER_BYTES  # asyncio has no other way; it holds for the whole process
    connections = _Port(limits, tls)
    app.middlewares.append(connections.note_request)
    runner = web.AppRunner(
        app,
        access_log=None,
        logger=REQUEST_LOG,
        shutdown_timeout=0.5,
        keepalive_timeout=limits.seconds,
        max_headers=_MOST_HEADERS,
        max_line_size=_MOST_LINE_BYTES,
        max_field_size=_MOST_LINE_BYTES,
    )
    await runner.setup()
    try:
        with _listen(port) as listener:
            assert runner.server is not None
            tasks = [
                asyncio.create_task(connections.accept(listener, runner.server)),
                asyncio.create_task(connections.sweep()),
            ]
            for task in tasks:
                task.add_done_callback(_log_defect)
            try:
                yield listener.getsockname()[1]
            finally:
                await _cancel(tasks)  # before the listener is closed
    finally:
        await runner.cleanup()


def allow_open_files(most: int) -> None:
    """Let the process open so many files, as far as the system allows. Each connection is one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most if hard == resource.RLIM_INFINITY else min(hard, most), hard))


def _listen(port: int) -> socket.socket:
    """Return a listening socket. Raises CannotListen."""
    try:
        try:
            listener = socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=_BACKLOG)
        except OSError as error:
            if error.errno == errno.EADDRINUSE or not 0 <= port < 2**16:
                raise
            listener = socket.create_server(("", port), backlog=_BACKLOG)  # a node without IPv6
    except (OSError, OverflowError) as error:
        raise CannotListen(f"port {port}: {error}") from error
    listener.setblocking(False)
    return listener


def _log_defect(task: asyncio.Task[NoReturn]) -> None:
    if not task.cancelled():
        _LOG.error("a port is not served any more", exc_info=task.exception())


async def _cancel(tasks: Iterable[asyncio.Task[NoReturn]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
