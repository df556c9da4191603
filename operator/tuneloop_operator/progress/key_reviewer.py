"""Says who holds a token by the public keys of the API server, which are read once, and again when a token names a key that is new.

The keys come from the API server (`/openid/v1/jwks`, which every service account may read unless an administrator forbids it), or from a
file that an administrator gives.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from typing import TYPE_CHECKING, Any, Protocol

from tuneloop_operator.errors import ClusterUnavailable
from tuneloop_operator.progress.signed_tokens import SigningKeys, UnknownKey, UnreadableKeys, holder_of, signing_keys

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from tuneloop_operator.cluster.token_reviews import TokenIdentity

_LOG = logging.getLogger(__name__)
_READ_AGAIN_SECONDS = 60.0
"""Shortest time between two reads. So tokens with invented key names cause one read a minute at most."""
_TRY_AGAIN_SECONDS = 5.0
"""Shortest time between two reads while no keys are known."""
_MOST_BYTES = 1 << 20


class KeyDocuments(Protocol):
    """The requests to the API server."""

    async def key_documents(self) -> tuple[Any, Any]:
        """Return the documents of OpenID discovery: the configuration and the JWK set. Raises `ClusterError`."""


def keys_of_api_server(cluster: KeyDocuments) -> Callable[[], Awaitable[SigningKeys]]:
    """Return what reads issuer and keys from the API server."""

    async def read() -> SigningKeys:
        configuration, key_set = await cluster.key_documents()
        issuer = configuration.get("issuer") if isinstance(configuration, dict) else None
        return signing_keys(issuer, key_set)

    return read


def keys_of_file(path: Path, *, issuer: str) -> Callable[[], Awaitable[SigningKeys]]:
    """Return what reads the keys from a file with a JWK set."""

    async def read() -> SigningKeys:
        try:
            with path.open("rb") as file:
                document = json.loads(file.read(_MOST_BYTES))
        except (OSError, ValueError, RecursionError) as error:
            raise UnreadableKeys(f"{path}: {error}") from error
        return signing_keys(issuer, document)

    return read


class KeyReviewer:
    """Implements the authenticator's `Reviewer`."""

    def __init__(
        self,
        *,
        read: Callable[[], Awaitable[SigningKeys]],
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        """clock: of durations; wall: seconds since 1970."""
        self._read = read
        self._clock = clock
        self._wall = wall
        self._keys: SigningKeys | None = None
        self._read_at: float | None = None
        self._reading = asyncio.Lock()

    async def review_token(self, token: str, *, audience: str) -> TokenIdentity | None:
        """Return who holds a token for this audience; None if the token is not valid. Raises `ClusterError` without any keys."""
        if self._keys is None:
            await self._refresh(known=None)
        for _ in range(2):
            if (keys := self._keys) is None:
                raise ClusterUnavailable("the keys that sign tokens are not known yet")
            try:
                return holder_of(token, keys=keys, audience=audience, now=self._wall())
            except UnknownKey:
                await self._refresh(known=keys)
        return None

    async def _refresh(self, *, known: SigningKeys | None) -> None:
        """Read the keys, unless they have changed since `known`, or were read a moment ago. After a failure the old keys stay."""
        async with self._reading:
            pause = _TRY_AGAIN_SECONDS if self._keys is None else _READ_AGAIN_SECONDS
            recently = self._read_at is not None and self._clock() - self._read_at < pause
            if self._keys is not known or recently:
                return
            try:
                self._keys = await self._read()
            except UnreadableKeys as error:
                _LOG.warning("the keys that sign tokens cannot be used: %s", error)
            finally:
                self._read_at = self._clock()
