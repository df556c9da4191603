"""Reserved ports on loopback: a socket that is bound and never listens keeps other programs off the port; our own pod can still listen.

Linux allows a second bind if both sockets have SO_REUSEADDR and none of them listens. It never picks such a port as a free port.
"""

from __future__ import annotations

import socket

LOOPBACK = "127.0.0.1"


class Ports:
    """The reserved ports, by the uid of the object that uses the port, and a name of its own."""

    def __init__(self) -> None:
        self._held: dict[tuple[str, str], socket.socket] = {}

    def reserve(self, uid: str, name: str = "", *, wanted: int = 0) -> int:
        """Return a port of this object. Its first call reserves `wanted`, or a free port for 0. Raises OSError if the port is taken."""
        if (uid, name) not in self._held:
            self._held[uid, name] = _bound(wanted)
        port: int = self._held[uid, name].getsockname()[1]
        return port

    def holds(self, port: int) -> bool:
        """Whether the port is reserved already."""
        return any(held.getsockname()[1] == port for held in self._held.values())

    def release(self, uid: str) -> None:
        """Release all ports of an object."""
        for key in [key for key in self._held if key[0] == uid]:
            self._held.pop(key).close()

    def close(self) -> None:
        """Release all ports."""
        for uid, _ in list(self._held):
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
