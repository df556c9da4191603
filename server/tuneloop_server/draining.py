"""Ends a server without losing a request: it becomes not ready, stops listening, answers what was sent."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import uvicorn

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable
    from types import FrameType

    from tuneloop_server.connections import Connections
    from tuneloop_server.metrics_port import MetricsPort

GRACE_SECONDS = 2.0
"""From SIGTERM until the server stops listening: in this time every proxy learns that the server is not ready."""
_LAST_REQUEST_SECONDS = 0.1
"""From then until idle connections are closed: the connection that was accepted last may still send its request."""
_TICKS_OF_SWEEP = 10


class DrainingServer(uvicorn.Server):
    """uvicorn, stopped so that no request is lost: become not ready, stop listening, answer what was sent, exit with code 0."""

    def __init__(
        self,
        config: uvicorn.Config,
        *,
        drain: Callable[[], None],
        drain_seconds: float,
        connections: Connections,
        metrics: MetricsPort | None,
    ) -> None:
        """drain: makes the service not ready. drain_seconds: from SIGTERM to the end."""
        super().__init__(config)
        self._drain = drain
        self._grace = min(GRACE_SECONDS, drain_seconds)
        self._connections = connections
        self._metrics = metrics
        self._stop_listening_at: float | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Answer from now on, on both ports."""
        await super().startup(sockets)
        if self._metrics is not None:
            await self._metrics.open()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002  (uvicorn's signature)
        """Drain; at a second signal, exit at once."""
        if self._stop_listening_at is not None:
            self.should_exit = self.force_exit = True
            return
        self._drain()
        self._stop_listening_at = time.monotonic() + self._grace

    async def on_tick(self, counter: int) -> bool:
        """Stop listening once it is time; end slow connections. uvicorn calls this every 0.1 s."""
        if counter % _TICKS_OF_SWEEP == 0:
            self._connections.sweep(asyncio.get_running_loop().time())
            if self._metrics is not None:
                await self._metrics.tick()
        if self._stop_listening_at is not None and time.monotonic() >= self._stop_listening_at:
            self.should_exit = True
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop listening, answer the requests that were sent, close. Until they are answered, probes and Prometheus are."""
        for server in self.servers:
            server.close()
        await asyncio.sleep(_LAST_REQUEST_SECONDS)
        await super().shutdown(sockets)
        if self._metrics is not None:
            await self._metrics.close()
