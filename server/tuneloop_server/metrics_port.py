"""The second port, for probes and metrics alone: clients that fill the model's port cannot keep out who watches the server.

One event loop serves both ports. So `/healthz` still says whether the loop that answers the model's requests is alive.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import uvicorn

from tuneloop_server.connections import ConnectionLimits, Connections, uvicorn_config

if TYPE_CHECKING:
    import socket

    from starlette.types import ASGIApp

METRICS_LIMITS = ConnectionLimits(
    connections=32,
    header_bytes=8 * 1024,
    headers=50,
    url_bytes=1024,
    header_seconds=5.0,
    body_seconds=5.0,
    answer_seconds=10.0,
)
"""For a kubelet and some Prometheus servers, which send short requests without a body."""
_LAST_ANSWERS_SECONDS = 1


class MetricsPort:
    """An application on a socket, beside the server of the model, which calls `open`, `tick` and `close`."""

    def __init__(self, app: ASGIApp, listener: socket.socket) -> None:
        self._listener = listener
        self._connections = Connections(METRICS_LIMITS)
        config = uvicorn_config(app, self._connections, drain_seconds=_LAST_ANSWERS_SECONDS, lifespan="off")
        self._server = uvicorn.Server(config)

    async def open(self) -> None:
        """Answer from now on."""
        config = self._server.config
        config.load()
        self._server.lifespan = config.lifespan_class(config)
        await self._server.startup([self._listener])

    async def tick(self) -> None:
        """End what takes too long. Called once a second."""
        self._connections.sweep(asyncio.get_running_loop().time())
        await self._server.on_tick(0)

    async def close(self) -> None:
        """Answer what was sent, and close."""
        await self._server.shutdown([self._listener])
