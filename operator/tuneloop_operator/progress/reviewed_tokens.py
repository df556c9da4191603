"""Who holds a token: the API server's word, cached."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections import OrderedDict
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from tuneloop_operator.cluster.token_reviews import TokenIdentity

VALID_SECONDS = 300.0
"""How long the API server's word about a valid token is taken."""
_INVALID_SECONDS = 5.0
_REMEMBERED = 10_000
_REVIEWS_AT_ONCE = 8
"""At most. A flood of invalid tokens waits here, and not at the API server; tokens whose review is cached do not wait."""


class Reviewer(Protocol):
    """The request to the API server."""

    async def review_token(self, token: str, *, audience: str) -> TokenIdentity | None:
        """Return who holds a token for this audience; None if the token is not valid. Raises `ClusterError`."""


class _CachedReview(NamedTuple):
    holder: TokenIdentity | None
    until: float


class TokenReviews:
    """Who holds a token. Reviews of valid tokens are cached for `valid_seconds`, those of others for five seconds."""

    def __init__(
        self,
        reviewer: Reviewer,
        *,
        clock: Callable[[], float] = time.monotonic,
        valid_seconds: float = VALID_SECONDS,
    ) -> None:
        self._reviewer = reviewer
        self._clock = clock
        self._valid_seconds = valid_seconds
        self._cache: OrderedDict[bytes, _CachedReview] = OrderedDict()
        self._review_slots = asyncio.Semaphore(_REVIEWS_AT_ONCE)

    async def holder(self, token: str, *, audience: str) -> TokenIdentity | None:
        """Return who holds a token for this audience; None if the token is not valid. Raises `ClusterError` if that cannot be found out now."""
        key = hashlib.sha256(f"{audience}\0{token}".encode()).digest()
        if (known := self._cached(key)) is not None:
            return known.holder
        async with self._review_slots:
            if (known := self._cached(key)) is not None:  # reviewed while this request waited
                return known.holder
            now = self._clock()
            holder = await self._reviewer.review_token(token, audience=audience)
            self._keep(key, _CachedReview(holder, now + (self._valid_seconds if holder else _INVALID_SECONDS)))
            return holder

    def _cached(self, key: bytes) -> _CachedReview | None:
        review = self._cache.get(key)
        return review if review is not None and self._clock() < review.until else None

    def _keep(self, key: bytes, review: _CachedReview) -> None:
        self._cache.pop(key, None)
        self._cache[key] = review
        while len(self._cache) > _REMEMBERED:
            self._cache.popitem(last=False)
