"""HTTP/2 by hand, as far as a client needs it that uploads on many streams at once and ends none of them (RFC 9113)."""

from __future__ import annotations

import contextlib
import select
import struct
from collections import Counter
from typing import TYPE_CHECKING

from raw_http import connect

if TYPE_CHECKING:
    import socket

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _RESET, _SETTINGS, _GO_AWAY, _WINDOW = 0, 1, 3, 4, 7, 8
_ACKNOWLEDGED, _END_HEADERS = 1, 4
_FIRST_WINDOW, _FRAME = 65_535, 16_384


class Uploads:
    """A connection with streams 1, 3, 5, …, each with a body of which a part is sent."""

    def __init__(self, port: int, *, streams: int, size: int) -> None:
        self.ended: Counter[str] = Counter()
        """How many streams the other side has ended: `reset`, `answered`, or `closed` with their connection."""
        self._socket: socket.socket = connect(port)
        self._received = b""
        self._window = _FIRST_WINDOW
        self._windows = dict.fromkeys(range(1, 2 * streams, 2), _FIRST_WINDOW)
        self._left = dict.fromkeys(self._windows, size)
        self._socket.sendall(_PREFACE + _frame(_SETTINGS, 0, 0))
        for number in self._windows:
            self._socket.sendall(_frame(_HEADERS, _END_HEADERS, number, _headers(port)))

    def fileno(self) -> int:
        return self._socket.fileno()

    @property
    def sends(self) -> bool:
        """Whether there is more to send."""
        return any(self._left.values())

    def go_on(self) -> None:
        """Read what has come, and send what the windows allow."""
        try:
            while select.select([self._socket], [], [], 0)[0]:
                if not (part := self._socket.recv(65_536)):
                    raise ConnectionResetError
                self._read(part)
            for number in list(self._left):
                self._send(number)
        except OSError:
            self.ended["closed"] += len(self._left)
            self._left.clear()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._socket.close()

    def _send(self, number: int) -> None:
        size = min(_FRAME, self._left[number], self._windows[number], self._window)
        if size > 0:
            self._socket.sendall(_frame(_DATA, 0, number, b"x" * size))
            self._left[number] -= size
            self._windows[number] -= size
            self._window -= size

    def _read(self, part: bytes) -> None:
        self._received += part
        while len(self._received) >= 9:
            size = int.from_bytes(self._received[:3])
            if len(self._received) < 9 + size:
                return
            kind, flags, number = struct.unpack(">BBI", self._received[3:9])
            payload, self._received = self._received[9 : 9 + size], self._received[9 + size :]
            self._take(kind, flags, number, payload)

    def _take(self, kind: int, flags: int, number: int, payload: bytes) -> None:
        if kind == _SETTINGS and not flags & _ACKNOWLEDGED:
            self._socket.sendall(_frame(_SETTINGS, _ACKNOWLEDGED, 0))
        elif kind == _WINDOW and number == 0:
            self._window += int.from_bytes(payload)
        elif kind == _WINDOW and number in self._windows:
            self._windows[number] += int.from_bytes(payload)
        elif kind in {_RESET, _HEADERS} and self._left.pop(number, None) is not None:
            self.ended["reset" if kind == _RESET else "answered"] += 1


def _frame(kind: int, flags: int, number: int, payload: bytes = b"") -> bytes:
    return len(payload).to_bytes(3) + struct.pack(">BBI", kind, flags, number) + payload


def _headers(port: int) -> bytes:
    """Return `POST http://127.0.0.1:PORT/predict`, as indices of HPACK's static table and plain text (RFC 7541)."""
    path, authority = b"/predict", b"127.0.0.1:%d" % port
    return b"\x83\x86" + b"\x04%c%s" % (len(path), path) + b"\x01%c%s" % (len(authority), authority)
