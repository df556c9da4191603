"""Which tokens have been counted, so that feedback that is sent again counts once in this process. Pure."""

from __future__ import annotations

MOST_TOKENS = 65_536
"""About 8 MB. The oldest are forgotten first."""


class Once:
    """The newest tokens that were counted."""

    def __init__(self, *, most: int = MOST_TOKENS) -> None:
        self._most = most
        self._known: dict[bytes, None] = {}

    def is_new(self, nonce: bytes) -> bool:
        """Remember a token, and tell whether it was unknown."""
        if nonce in self._known:
            return False
        if len(self._known) >= self._most:
            del self._known[next(iter(self._known))]
        self._known[nonce] = None
        return True
