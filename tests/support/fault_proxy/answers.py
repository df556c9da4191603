"""A request that has arrived and what is answered to it, and how both look on the wire."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from datetime import timedelta
from email.utils import format_datetime, parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from aiohttp import web
from yarl import URL

from fault_proxy.calls import Target, metadata_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fault_proxy.rules import Status

_OF_ONE_HOP = frozenset(
    {
        "connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "te", "trailer", "transfer-encoding", "upgrade",
        "content-length", "host", "accept-encoding",
    }
)  # fmt: skip
"""Headers that are not passed on; the answers have to be readable here, so that none is compressed."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What the client gets."""

    code: int
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A request that has arrived."""

    n: int
    at: float
    target: Target
    method: str
    url: str
    headers: dict[str, str]
    body: bytes
    document: Any
    peer_port: int


def delivered(request: web.BaseRequest, answer: Answer | None) -> web.StreamResponse:
    """Return the response that aiohttp sends; without an answer, close the connection."""
    if answer is None:
        if request.transport is not None:
            request.transport.abort()
        return web.Response()
    return web.Response(status=answer.code, headers=answer.headers, body=answer.body)


def made_up(status: Status) -> Answer:
    """Return the answer of a rule."""
    headers = {"Content-Type": "application/json"}
    if status.retry_after is not None:
        headers["Retry-After"] = str(status.retry_after)
    return Answer(code=status.code, headers=headers, body=json.dumps(status.document()).encode())


def with_later_date(answer: Answer, *, seconds: float) -> Answer:
    """Return the answer with a `Date` that is later by so many seconds."""
    later = parsedate_to_datetime(answer.headers["Date"]) + timedelta(seconds=seconds)
    return replace(answer, headers=answer.headers | {"Date": format_datetime(later, usegmt=True)})


def passed_on(headers: Mapping[str, str]) -> dict[str, str]:
    """Return the headers that are not of one hop alone."""
    return {name: value for name, value in headers.items() if name.lower() not in _OF_ONE_HOP}


def decoded(body: bytes) -> Any:
    """Return the JSON of a body; None if it is none."""
    if not body.startswith(b"{"):
        return None
    try:
        return json.loads(body)
    except ValueError:
        return None


def version_in(asked: Asked) -> str:
    """Return the resourceVersion that a request names."""
    named = URL(asked.url, encoded=True).query.get("resourceVersion")
    return str(named or metadata_of(asked.document).get("resourceVersion") or "")
