"""From the answers of the API server, or none, to errors of ours. Nothing else in the operator knows status codes.

| answer | error |
|---|---|
| 404 with a Status that names an object | NotFound |
| 409 AlreadyExists; any other 409 | AlreadyExists; Conflict |
| 410 | ListExpired |
| 401, 408, 429, 5xx, any other 404, no JSON, no answer | ClusterUnavailable |
| any other 4xx: RBAC, quota, Pod Security, webhook, schema, a namespace that is being terminated | Refused |

401 means later, not never: tokens rotate. A 404 that names no object comes from a server that does not serve the kind (yet).
A request may have been carried out although its answer is 504 or late: every write must be safe to repeat.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tuneloop_operator.errors import AlreadyExists, ClusterUnavailable, Conflict, NotFound, Refused

if TYPE_CHECKING:
    from tuneloop_operator.errors import ClusterError

_LONGEST_MESSAGE = 500
_LONGEST_RETRY_AFTER_SECONDS = 300.0
_LATER = {401, 404, 408, 429}


class ListExpired(ClusterUnavailable):
    """The API server no longer keeps the next pages of a list."""


def error_of(status: int, body: Any, *, retry_after: str | None = None) -> ClusterError:
    """Return the error for an answer other than 2xx. retry_after: the header of that name."""
    answer = body if isinstance(body, dict) and body.get("kind") == "Status" else {}
    message, reason = message_of(status, answer), answer.get("reason")
    details = answer.get("details") or {}
    if status == 404 and reason == "NotFound" and details.get("name"):
        return NotFound(message)
    if status == 409:
        return AlreadyExists(message) if reason == "AlreadyExists" else Conflict(message)
    if status == 410:
        return ListExpired(message)
    if status in _LATER or not 400 <= status < 500:
        return ClusterUnavailable(message, retry_after=_seconds(retry_after, details.get("retryAfterSeconds")))
    return Refused(message)


def no_answer(error: Exception) -> ClusterUnavailable:
    """Return the error for a broken connection or a time-out."""
    text = "no answer in time" if isinstance(error, TimeoutError) else str(error) or type(error).__name__
    return ClusterUnavailable(f"the API server does not answer: {_one_line(text)}")


def message_of(status: int, answer: dict[str, Any]) -> str:
    """Return the message of the API server, on one line and cut to 500 characters."""
    return _one_line(answer.get("message") or f"the API server answered {status}")


def _one_line(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST_MESSAGE else f"{line[: _LONGEST_MESSAGE - 1]}…"


def _seconds(header: str | None, in_status: Any) -> float:
    """Return how many seconds to wait. The API server always names whole seconds; a date from a proxy is ignored."""
    seconds = int(header) if header is not None and header.strip().isdecimal() else in_status
    return min(float(seconds), _LONGEST_RETRY_AFTER_SECONDS) if isinstance(seconds, int) else 0.0
