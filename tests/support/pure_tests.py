"""Holds tests to what a unit test may do: no process, no network. A test that needs one is a component test.

An audit hook of the interpreter sees every such call, whoever makes it, and cannot be removed. So there is one hook for the
process, and it acts only while a unit test runs.
"""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

FORBIDDEN = {
    "subprocess.Popen": "starts a process",
    "os.posix_spawn": "starts a process",
    "os.system": "starts a process",
    "os.exec": "becomes another program",
    "os.fork": "forks",
    "os.forkpty": "forks",
    "socket.bind": "opens a port",
    "socket.connect": "connects to a server",
    "socket.getaddrinfo": "asks for an address",
}
"""What a unit test must not do, by the audit event of the interpreter. An event loop's own socket pair is none of them."""


class ImpureTestError(AssertionError):
    """A unit test does what only a component test may do."""


_watched: list[str] = []
"""The name of the unit test that runs, if one does."""
_breaches: list[str] = []


@contextmanager
def held_to_be_pure(name: str) -> Iterator[list[str]]:
    """Raise where the test of this name does what is forbidden; yield the list of what it did, since code under test may swallow the error."""
    _breaches.clear()
    _watched.append(name)
    try:
        yield _breaches
    finally:
        _watched.clear()


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    if not _watched or event not in FORBIDDEN:
        return
    message = f"{_watched[0]} {FORBIDDEN[event]} ({event} {arguments[:2]}): such a test belongs in tests/component"
    _breaches.append(message)
    raise ImpureTestError(message)


sys.addaudithook(_audit)
