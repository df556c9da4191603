"""What came back from one revision for one request."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

_OK, _TOO_MANY_REQUESTS = 200, 429


class Failure(StrEnum):
    """Why a revision gave no answer that can be compared. The words are those of `contract.comparison.Failures`."""

    AWAY = "away"
    """Nobody was there: no connection could be opened, or the server still loads its model."""
    CONNECTION = "connection"
    """It ended before the answer was whole."""
    TIMEOUT = "timeout"
    SERVER_ERROR = "server_error"
    REFUSED = "refused"
    OVERLOADED = "overloaded"
    UNREADABLE = "unreadable"
    TOO_LARGE = "too_large"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """An answer with status 200, or why there is none."""

    body: bytes = b""
    seconds: float = 0.0
    """From the first byte of the request to the last of the answer, on an open connection."""
    failure: Failure | None = None


def failure_of(status: int, *, not_begun: bool = False) -> Failure | None:
    """Return what a status says; None if the body is the answer. not_begun: the server says that it has not begun the request."""
    if status == _OK:
        return None
    if not_begun:
        return Failure.AWAY
    if status == _TOO_MANY_REQUESTS:
        return Failure.OVERLOADED
    return Failure.REFUSED if 400 <= status < 500 else Failure.SERVER_ERROR
