"""How many requests each revision has answered since the split that is in force came into force: what Envoy's counters grew by."""

from __future__ import annotations

import http.client
from typing import TYPE_CHECKING

from tuneloop_router.envoy_config.access_log import ANSWERED, answered_by_revision

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tuneloop_router.admin import Admin


class AnsweredRequests:
    """Counts anew with each split. Where something cannot be read, fewer are counted, never more."""

    def __init__(self, admin: Admin) -> None:
        self._admin = admin
        self._last: dict[str, int] | None = {}
        """The counters as they were last read, by hash of the revision; None: they could not be read when the split came into force."""
        self._grown: dict[str, int] = {}

    def begin(self) -> None:
        """Count from here."""
        self._last, self._grown = self._read(), {}

    def of(self, hashes: Mapping[str, str]) -> dict[str, int] | None:
        """Return the requests of each of these revisions; None where Envoy does not answer. hashes: by name of the revision."""
        now = self._read()
        if now is None:
            return None
        for revision, count in now.items():
            before = count if self._last is None else self._last.get(revision, 0)
            # Envoy drops a counter that rests for hours, and begins again at 0
            grown = count - before if count >= before else count
            self._grown[revision] = self._grown.get(revision, 0) + grown
        self._last = now
        return {name: self._grown.get(found, 0) for name, found in hashes.items()}

    def _read(self) -> dict[str, int] | None:
        try:
            return answered_by_revision(self._admin.matching(ANSWERED))
        except (OSError, http.client.HTTPException):
            return None
