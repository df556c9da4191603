"""Ports on loopback that stay ours: a bound socket that never listens keeps everybody else off, and lets our own process listen.

Linux allows a second bind where both sockets have SO_REUSEADDR and none listens; it never hands such a port out by itself.
"""

from __future__ import annotations

import socket

LOOPBACK = "127.0.0.1"


class Ports:
    """Reserved ports by the uid of the object that they are for."""

    def __init__(self) -> None:
        self._held: dict[str, socket.socket] = {}

    def reserve(self, uid: str, *, wanted: int = 0) -> int:
        """Return the port of this object: the one that it has, else `wanted`, else (0) a free one. Raises OSError if it is taken."""
        if uid not in self._held:
            self._held[uid] = _bound(wanted)
        port: int = self._held[uid].getsockname()[1]
        return port

    def holds(self, port: int) -> bool:
        """Whether the port is reserved already."""
        return any(held.getsockname()[1] == port for held in self._held.values())

    def release(self, uid: str) -> None:
        """Give an object's port back."""
        if held := self._held.pop(uid, None):
            held.close()

    def close(self) -> None:
        """Give all ports back."""
        for uid in list(self._held):
            self.release(uid)


def is_free(port: int) -> bool:
    """Whether a server could listen on this port now."""
    try:
        with _bound(port) as held:
            held.listen()
    except OSError:
        return False
    return True


def _bound(port: int) -> socket.socket:
    held = socket.socket()
    try:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.bind((LOOPBACK, port))
    except OSError:
        held.close()
        raise
    return held
