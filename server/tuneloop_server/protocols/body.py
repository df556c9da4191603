"""Reads the body of a request, as far as it is allowed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.requests import ClientDisconnect

from tuneloop_api.contract.server_config import MOST_BODY_BYTES
from tuneloop_server.errors import RequestError

if TYPE_CHECKING:
    from starlette.requests import Request

    from tuneloop_server.body_memory import BodyShare


async def read_body(request: Request, share: BodyShare) -> bytes:
    """Return the body. Raises RequestError past 1 MiB, without reading on, and if memory is short."""
    declared = request.headers.get("content-length", "0")
    if declared.isascii() and declared.isdigit() and int(declared) > MOST_BODY_BYTES:
        raise _too_large(f"{declared} bytes")
    parts: list[bytes] = []
    size = 0
    try:
        async for part in request.stream():
            parts.append(part)
            size += len(part)
            if size > MOST_BODY_BYTES:
                raise _too_large("more")
            share.grow(size)
    except ClientDisconnect:
        raise RequestError("the body ended early", status=400, reason="validation") from None
    return b"".join(parts)


def _too_large(found: str) -> RequestError:
    message = (
        f"the body has {found}, at most {MOST_BODY_BYTES} bytes (1 MiB) are allowed; send fewer texts in one request"
    )
    return RequestError(message, status=413, reason="validation")
