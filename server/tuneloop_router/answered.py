"""How many requests each revision has answered since the split that is in force came into force: Envoy's counters, less what they were then."""

from __future__ import annotations

import http.client
from typing import TYPE_CHECKING

from tuneloop_router.envoy_config.access_log import ANSWERED, answered_by_revision

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tuneloop_router.admin import Admin


class AnsweredRequests:
    """Counts from the start of Envoy, and anew with each split. Where something cannot be read, fewer are counted, never more."""

    def __init__(self, admin: Admin) -> None:
        self._admin = admin
        self._before: dict[str, int] | None = {}
        """The counters when the split came into force; None: they could not be read."""

    def begin(self) -> None:
        """Count from here."""
        self._before = self._read()

    def of(self, revisions: Iterable[str]) -> dict[str, int] | None:
        """Return the requests of each of these revisions; None where Envoy does not answer."""
        now = self._read()
        if now is None:
            return None
        if self._before is None:
            self._before = now
        return {name: now.get(name, 0) - self._before.get(name, 0) for name in revisions}

    def _read(self) -> dict[str, int] | None:
        try:
            return answered_by_revision(self._admin.matching(ANSWERED))
        except (OSError, http.client.HTTPException):
            return None
