"""Asks comparators: the only I/O of this package. Whatever happens on the way is a sentence that names the address, never an exception.

Behind the address may stand whatever a tenant puts there: time and bytes have limits, no redirect is followed, and nothing of an answer but a
document of counts is kept or shown.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any, NoReturn, Self

import aiohttp

from tuneloop_api.contract.comparison import COUNTS_PATH, GOLDEN_PATH, GoldenRequest
from tuneloop_operator.guarded_http import (
    GuardedSession,
    UnusableAnswerError,
    check_encoding,
    read_at_most,
    reason_of,
)
from tuneloop_operator.state.gate_inputs import ComparatorReply

SECONDS = 5.0
"""For a request in all: name, connection, answer."""
MOST_BYTES = 256 * 1024
MOST_VALUES = 4000
"""Of an answer. Honest ones have some kilobytes and some hundred values; the last one of each comparator is kept, and in memory a value takes a hundred times its text."""
_JSON = "application/json"


class ComparatorClient:
    """Reads counts and asks for replays, as an async context manager."""

    def __init__(self, *, seconds: float = SECONDS) -> None:
        self._seconds = seconds
        self._session = GuardedSession()

    async def __aenter__(self) -> Self:
        """Make the connections' pool; nothing is sent."""
        await self._session.__aenter__()
        return self

    async def __aexit__(self, *failure: object) -> None:
        """Close the connections."""
        await self._session.__aexit__(*failure)

    async def counts(self, address: str) -> ComparatorReply:
        """Return what the comparator at an address has counted, or why it is not known."""
        try:
            return ComparatorReply(document=_document(await self._exchange("GET", f"{address}{COUNTS_PATH}")))
        except UnusableAnswerError as failed:
            return ComparatorReply(problem=f"the comparator at {address}: {failed}")

    async def ask_for_replays(self, address: str, *, times: int) -> str:
        """Ask that there be so many replays since the comparator began; return why it takes no such request, empty if it does."""
        try:
            await self._exchange("POST", f"{address}{GOLDEN_PATH}", json=GoldenRequest(times=times).to_wire())
        except UnusableAnswerError as failed:
            return f"the comparator at {address} is asked for a replay: {failed}"
        return ""

    async def _exchange(self, method: str, url: str, **options: Any) -> bytes:
        """Return the body of a good answer. Raises UnusableAnswerError."""
        try:
            async with asyncio.timeout(self._seconds), self._session.request(method, url, **options) as response:
                _check_head(response)
                body = await read_at_most(response.content, MOST_BYTES + 1)
        except TimeoutError:
            raise UnusableAnswerError(f"no answer within {self._seconds:g} s") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:  # ValueError: a header that is none
            raise UnusableAnswerError(reason_of(error)) from error
        if len(body) > MOST_BYTES:
            raise UnusableAnswerError(f"the answer has more than {MOST_BYTES} bytes")
        return body


def _check_head(response: aiohttp.ClientResponse) -> None:
    if response.status not in {200, 202}:
        raise UnusableAnswerError(f"HTTP {response.status}")
    if response.content_type != _JSON:
        raise UnusableAnswerError(f"the answer is no {_JSON}")
    check_encoding(response)


def _document(body: bytes) -> dict[str, Any]:
    if sum(body.count(mark) for mark in (b",", b"[", b"{")) > MOST_VALUES:
        raise UnusableAnswerError(f"the answer has more than {MOST_VALUES} values")
    try:
        document = json.loads(body, parse_constant=_no_number)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise UnusableAnswerError("the answer is no JSON object")
    return document


def _no_number(name: str) -> NoReturn:
    raise ValueError(name)
