"""What the kernel holds for a connection. It counts as memory of the pod, and grows to some MiB by itself where the other side does not read, or Envoy does not."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tuneloop_router.envoy_config.typed import Json

_RECEIVED = 1 << 17
_UNSENT = 1 << 17


def of_clients() -> list[Json]:
    """Return the options of a port. What is under way to a client is not limited: a long line is as fast as before."""
    return [
        _option(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVED),
        _option(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, _UNSENT),
    ]


def of_servers() -> list[Json]:
    """Return the options of connections to servers."""
    return [_option(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVED)]


def _option(level: int, name: int, value: int) -> Json:
    return {"level": level, "name": name, "int_value": value, "state": "STATE_PREBIND"}
