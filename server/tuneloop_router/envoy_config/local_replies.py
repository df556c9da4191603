"""The answers that the proxy gives itself. A refusal of a client has the shape that the client's protocol has for errors, as the model server's own have."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tuneloop_router.envoy_config.typed import Json

_TEXT = "%LOCAL_REPLY_BODY%"
_ERROR = {"error": {"code": "%RESPONSE_CODE%", "type": "router", "message": _TEXT}}
_PLAIN = {"error": _TEXT}
"""Of the Hugging Face task API and of the Open Inference Protocol."""
_OPENAI_PATHS = "/v1/"
_NO_KEY = "a valid API key is needed; send it as Authorization: Bearer KEY, or as x-api-key: KEY"
_TOO_MANY = "too many requests; Retry-After says when to try again"
_TOO_LARGE = "the body is too large; send fewer texts in one request"
_SOON = [{"header": {"key": "retry-after", "value": "1"}}]
"""Memory is short, or no server is ready: OpenAI's client waits and tries again by itself."""
_BUSY = "the router cannot take this request now; Retry-After says when to try again"
_CHALLENGE = [{"header": {"key": "www-authenticate", "value": "Bearer"}}]


def local_replies() -> Json:
    """Return how they look: 401, 413 and 429 by protocol, all others alike."""
    return {
        "mappers": [
            *_refusal(401, _NO_KEY, kind="invalid_request_error", code="invalid_api_key", headers_to_add=_CHALLENGE),
            *_refusal(413, _TOO_LARGE, kind="invalid_request_error", code=None),
            *_refusal(429, _TOO_MANY, kind="rate_limit_error", code="rate_limit_exceeded"),
            # Envoy's own word for a request of HTTP/1.1 that it ends since memory is short
            {"filter": _has(500), "status_code": 503, "body": {"inline_string": _BUSY}, "headers_to_add": _SOON},
            {"filter": _has(503), "headers_to_add": _SOON},
        ],
        "body_format": {"json_format": _ERROR},
    }


def _refusal(status: int, text: str, *, kind: str, code: str | None, **fields: object) -> list[Json]:
    """Return the shapes of a status: OpenAI's, then that of all others. The first that fits is taken."""
    openai = {"error": {"message": _TEXT, "type": kind, "param": None, "code": code}}
    own_path = {"header_filter": {"header": {"name": ":path", "string_match": {"prefix": _OPENAI_PATHS}}}}
    return [
        _mapper({"and_filter": {"filters": [_has(status), own_path]}}, text, openai) | fields,
        _mapper(_has(status), text, _PLAIN) | fields,
    ]


def _mapper(match: Json, text: str, shape: Json) -> Json:
    return {"filter": match, "body": {"inline_string": text}, "body_format_override": {"json_format": shape}}


def _has(status: int) -> Json:
    value = {
        "default_value": status,
        "runtime_key": f"tuneloop.local_reply_{status}",
    }  # a key is required; it is not set
    return {"status_code_filter": {"comparison": {"op": "EQ", "value": value}}}
