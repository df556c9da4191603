"""What the operator's ports for pods share: the bearer token of a request, and the answer to a request that is not accepted."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aiohttp import web

LARGEST_NUMBER = 2**53
"""Largest whole number that every JSON reader keeps exact."""
_BEARER = "Bearer "


class Rejected(Exception):  # noqa: N818  (an answer, not an error)
    """A request that is not accepted: a status and why."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


def bearer_token(request: web.Request) -> str:
    """Return the bearer token of a request; empty if it has none."""
    header = request.headers.get("Authorization", "")
    return header.removeprefix(_BEARER) if header.startswith(_BEARER) else ""
