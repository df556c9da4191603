"""Turns signals into bytes of a pipe, so that one `select` waits for signals and for output."""

from __future__ import annotations

import signal
import socket
from typing import Self


class SignalPipe:
    """While the pipe is open, its signals only wake up a `select` on `read_end`."""

    def __init__(self, *signals: signal.Signals) -> None:
        self._signals = signals
        self.read_end, self._write_end = socket.socketpair()

    def __enter__(self) -> Self:
        self.read_end.setblocking(False)
        self._write_end.setblocking(False)
        self._handlers = {number: signal.signal(number, _nothing) for number in self._signals}
        self._wakeup = signal.set_wakeup_fd(self._write_end.fileno(), warn_on_full_buffer=False)
        return self

    def __exit__(self, *_: object) -> None:
        signal.set_wakeup_fd(self._wakeup)
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        self.read_end.close()
        self._write_end.close()

    def arrived(self) -> set[int]:
        """Return the signals that have arrived since the last call."""
        try:
            return set(self.read_end.recv(4096))
        except BlockingIOError:
            return set()


def _nothing(*_: object) -> None:
    """Handle a signal: without a Python handler, the default action of the kernel would end the process."""
