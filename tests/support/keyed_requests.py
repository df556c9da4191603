"""Requests with a key: whole ones, and ones whose end comes later than something else. An address is HOST:PORT."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

_BODY = json.dumps({"inputs": "a good film"}).encode()
_PATH = "/predict"
_PATIENCE_SECONDS = 60.0
"""For one answer: the machine may be busy."""


class Answer(NamedTuple):
    """What a client got."""

    status: int
    revision: str
    """The router's word for who answered; empty: it names nobody."""
    text: str


def ask(address: str, key: str = "") -> Answer:
    """Ask for a prediction over a new connection."""
    connection = http.client.HTTPConnection(address, timeout=_PATIENCE_SECONDS)
    try:
        connection.request("POST", _PATH, _BODY, _headers(key))
        answer = connection.getresponse()
        revision = (answer.getheader("x-tuneloop-revision") or "").rpartition("-")[2]
        return Answer(answer.status, revision, answer.read().decode())
    finally:
        connection.close()


def listens(address: str) -> bool:
    """Whether a connection comes about."""
    host, _, port = address.partition(":")
    with contextlib.suppress(ConnectionRefusedError), socket.create_connection((host, int(port)), _PATIENCE_SECONDS):
        return True
    return False


@contextlib.contextmanager
def begun(address: str, key: str = "") -> Iterator[socket.socket]:
    """Send a request but for the end of its body."""
    host, _, port = address.partition(":")
    headers = {"host": host, "content-length": str(len(_BODY)), **_headers(key)}
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    with socket.create_connection((host, int(port)), _PATIENCE_SECONDS) as connection:
        connection.sendall(f"POST {_PATH} HTTP/1.1\r\n{lines}\r\n".encode() + _BODY[:-1])
        yield connection


def rest_of(connection: socket.socket) -> int:
    """Send the end of the body; return the status of the answer, 0 if there is none."""
    with contextlib.suppress(OSError, http.client.HTTPException):
        connection.sendall(_BODY[-1:])
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        return answer.status
    return 0


def _headers(key: str) -> dict[str, str]:
    return {"content-type": "application/json"} | ({"authorization": f"Bearer {key}"} if key else {})
