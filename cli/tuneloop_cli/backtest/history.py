"""Asks Prometheus for the past: range queries, in parts that Prometheus answers. The only I/O of this package."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import aiohttp

from tuneloop_cli.backtest.range_answer import History, UnreadableHistoryError, history_of, labels_by_time
from tuneloop_operator.prometheus.query import equals

if TYPE_CHECKING:
    from collections.abc import Callable

    from tuneloop_operator.prometheus.answer import Answer

MOST_POINTS = 10_000
"""Of one answer. Prometheus refuses more than 11,000."""
_SECONDS = 120.0
"""For one part. Prometheus itself gives up after two minutes."""


class HistoryDoor:
    """Range queries over one span of time, as an async context manager."""

    def __init__(
        self, address: str, *, begin: int, end: int, step: int, on_part: Callable[[], None] = lambda: None
    ) -> None:
        """begin, end: Unix seconds; step: seconds; on_part: called after each part of an answer."""
        self._url = f"{address}/api/v1/query_range"
        self._step = step
        span = step * (MOST_POINTS - 1)
        self._parts = [(first, min(first + span, end)) for first in range(begin, end + 1, span + step)]
        self._on_part = on_part
        self._session = aiohttp.ClientSession(trust_env=False, timeout=aiohttp.ClientTimeout(total=_SECONDS))

    async def __aenter__(self) -> Self:
        """Send nothing."""
        return self

    async def __aexit__(self, *failure: object) -> None:
        """Close the connections."""
        await self._session.close()

    @property
    def parts(self) -> int:
        """Number of parts of one query."""
        return len(self._parts)

    async def ask(self, query: str) -> History:
        """Return the answers to a query. Raises UnreadableHistoryError."""
        found: dict[int, Answer] = {}
        for begin, end in self._parts:
            found |= history_of(await self._part(query, begin, end))
        return History(answers=found)

    async def stable_revisions(self, namespace: str, deployment: str) -> dict[int, str]:
        """Return the stable revision by time, as the operator reported it. Raises UnreadableHistoryError."""
        of = ",".join((equals("namespace", namespace), equals("deployment", deployment), equals("role", "stable")))
        found: dict[int, str] = {}
        for begin, end in self._parts:
            document = await self._part(f"max by (revision) (tuneloop_revision_info{{{of}}})", begin, end)
            found |= dict(labels_by_time(document, "revision"))
        return found

    async def _part(self, query: str, begin: int, end: int) -> Any:
        form = {"query": query, "start": str(begin), "end": str(end), "step": str(self._step)}
        try:
            async with self._session.post(self._url, data=form, allow_redirects=False) as response:
                document = await response.json(content_type=None)
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            raise UnreadableHistoryError(f"{self._url}: {error or type(error).__name__}") from error
        self._on_part()
        return document
