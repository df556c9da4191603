"""Asks one revision, over a few connections that are kept."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from tuneloop_server.comparator.connection import ConnectionBroke, connect
from tuneloop_server.comparator.replies import Failure, Reply
from tuneloop_server.feedback.header import FEEDBACK_HEADER, NONE
from tuneloop_server.user_agent import COMPARATOR

if TYPE_CHECKING:
    from tuneloop_api.contract.comparator_config import ComparatorLimits, RevisionAddress
    from tuneloop_server.comparator.connection import Connection

_IDLE_SECONDS = 4.0
"""A connection that was idle for longer is not used again. Servers close idle ones after 5 s or more, some just when a request is sent."""
_REQUESTS = 100
"""A connection is replaced after so many: a Service chooses a pod for each connection, so that all pods of a revision are asked."""


class Revision:
    """One of the two revisions. At most as many connections are open as requests are under way."""

    def __init__(self, address: RevisionAddress, limits: ComparatorLimits, *, seconds: float) -> None:
        """seconds: longest time for one answer, connection included."""
        self._address = address
        self._answer_bytes = limits.answer_bytes
        self._seconds = seconds
        self._idle: list[tuple[Connection, float]] = []
        """Free connections, and since when. The one that was used last is used next."""
        host = f"[{address.host}]" if ":" in address.host else address.host
        self._headers = (
            f"host: {host}:{address.port}\r\nuser-agent: {COMPARATOR}\r\naccept: application/json\r\n"
            f"content-type: application/json\r\n{FEEDBACK_HEADER}: {NONE}\r\ncontent-length: "
        ).encode()

    async def ask(self, target: bytes, body: bytes) -> Reply:
        """POST a body and return what comes back within the time limit; never raises but when cancelled. target: path and query."""
        request = b"".join(
            (b"POST ", target, b" HTTP/1.1\r\n", self._headers, str(len(body)).encode(), b"\r\n\r\n", body)
        )
        try:
            async with asyncio.timeout(self._seconds):
                return await self._exchange(request)
        except TimeoutError:
            return Reply(failure=Failure.TIMEOUT)
        except ConnectionBroke:
            return Reply(failure=Failure.CONNECTION)
        except OSError:  # from `connect` alone
            return Reply(failure=Failure.AWAY)

    def close(self) -> None:
        """Close the free connections."""
        for connection, _ in self._idle:
            connection.close()
        self._idle.clear()

    async def _exchange(self, request: bytes) -> Reply:
        """Send the request. A kept connection may have been closed by the other side meanwhile: then another one is taken."""
        while True:
            connection = self._kept()
            is_new = connection is None
            if connection is None:
                connection = await connect(self._address, answer_bytes=self._answer_bytes)
            try:
                reply = await connection.exchange(request)
            except ConnectionBroke as error:
                if is_new or error.began:
                    raise
                continue
            self._keep(connection)
            return reply

    def _kept(self) -> Connection | None:
        now = asyncio.get_running_loop().time()
        while self._idle:
            connection, since = self._idle.pop()
            if connection.is_open and now - since < _IDLE_SECONDS:
                return connection
            connection.close()
        return None

    def _keep(self, connection: Connection) -> None:
        if not connection.is_open:
            return
        if connection.requests >= _REQUESTS:
            connection.close()
            return
        self._idle.append((connection, asyncio.get_running_loop().time()))
