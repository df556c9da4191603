"""Asks comparators: the only I/O of this package. Whatever happens on the way is a sentence that names the address, never an exception.

Behind the address may stand whatever a tenant puts there: time and bytes have limits, no redirect is followed, and nothing of an answer but a
document of counts is kept or shown.
"""

from __future__ import annotations

import asyncio
import json
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, NoReturn, Self

import aiohttp

from tuneloop_api.contract.comparison import COUNTS_PATH, GOLDEN_PATH, GoldenRequest
from tuneloop_operator.state.gate_inputs import ComparatorReply

if TYPE_CHECKING:
    from types import TracebackType

SECONDS = 5.0
"""For a request in all: name, connection, answer."""
MOST_BYTES = 256 * 1024
MOST_VALUES = 4000
"""Of an answer. Honest ones have some kilobytes and some hundred values; the last one of each comparator is kept, and in memory a value takes a hundred times its text."""
_JSON = "application/json"
_HEADERS = {"Accept": _JSON, "Accept-Encoding": "identity", "User-Agent": "tuneloop-operator"}


class ComparatorClient:
    """Reads counts and asks for replays, as an async context manager."""

    def __init__(self, *, seconds: float = SECONDS) -> None:
        self._seconds = seconds
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        """Make the connections' pool; nothing is sent."""
        self._session = await self._stack.enter_async_context(
            aiohttp.ClientSession(
                trust_env=False,  # no proxy of the environment
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,  # a small body could become a huge one
                timeout=aiohttp.ClientTimeout(total=None),  # `_exchange` has one for all
            )
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the connections."""
        await self._stack.aclose()

    async def counts(self, address: str) -> ComparatorReply:
        """Return what the comparator at an address has counted, or why it is not known."""
        try:
            return ComparatorReply(document=_document(await self._exchange("GET", f"{address}{COUNTS_PATH}")))
        except _Failed as failed:
            return ComparatorReply(problem=f"the comparator at {address}: {failed}")

    async def ask_for_replays(self, address: str, *, times: int) -> str:
        """Ask that there be so many replays since the comparator began; return why it takes no such request, empty if it does."""
        try:
            await self._exchange("POST", f"{address}{GOLDEN_PATH}", json=GoldenRequest(times=times).to_wire())
        except _Failed as failed:
            return f"the comparator at {address} is asked for a replay: {failed}"
        return ""

    async def _exchange(self, method: str, url: str, **options: Any) -> bytes:
        """Return the body of a good answer. Raises _Failed."""
        try:
            async with (
                asyncio.timeout(self._seconds),
                self._session.request(method, url, headers=_HEADERS, allow_redirects=False, **options) as response,
            ):
                _check_head(response)
                return await _read(response.content)
        except TimeoutError:
            raise _Failed(f"no answer within {self._seconds:g} s") from None
        except aiohttp.ClientConnectorError as error:
            raise _Failed(f"no connection ({error.os_error.strerror or type(error.os_error).__name__})") from error
        except (aiohttp.ClientError, OSError, ValueError) as error:  # ValueError: a header that is none
            raise _Failed(
                f"the connection ended before the answer, or the answer is no HTTP ({type(error).__name__})"
            ) from error


class _Failed(Exception):  # noqa: N818  (named as the state that it reports)
    """There is no answer that can be used. The message is the reason."""


def _check_head(response: aiohttp.ClientResponse) -> None:
    if response.status not in {200, 202}:
        raise _Failed(f"HTTP {response.status}")
    if response.content_type != _JSON:
        raise _Failed(f"the answer is no {_JSON}")
    if response.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise _Failed("the answer is compressed, which was not asked for")


async def _read(content: aiohttp.StreamReader) -> bytes:
    body = bytearray()
    async for chunk in content.iter_any():
        body += chunk
        if len(body) > MOST_BYTES:
            raise _Failed(f"the answer has more than {MOST_BYTES} bytes")
    return bytes(body)


def _document(body: bytes) -> dict[str, Any]:
    if sum(body.count(mark) for mark in (b",", b"[", b"{")) > MOST_VALUES:
        raise _Failed(f"the answer has more than {MOST_VALUES} values")
    try:
        document = json.loads(body, parse_constant=_no_number)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise _Failed("the answer is no JSON object")
    return document


def _no_number(name: str) -> NoReturn:
    raise ValueError(name)
