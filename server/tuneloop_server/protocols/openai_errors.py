"""Errors in OpenAI's shape."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tuneloop_server.errors import RequestError

_TYPES = {429: "rate_limit_error", 500: "server_error", 503: "server_error"}
_CODES = {429: "rate_limit_exceeded"}


def error_shape(error: RequestError) -> tuple[int, object]:
    """Return OpenAI's error object. A request that is wrong has status 400."""
    status = 400 if error.status == 422 else error.status
    content = {
        "message": str(error),
        "type": _TYPES.get(status, "invalid_request_error"),
        "param": error.field,
        "code": "model_not_found" if (status, error.field) == (404, "model") else _CODES.get(status),
    }
    return status, {"error": content}
