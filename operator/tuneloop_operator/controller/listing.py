"""What whole lists tell: which kinds are known completely, and what vanished while nobody watched.

A watch that breaks off is followed by a new list, and what was deleted in between is in neither: it is found by comparing uids.
Pure: pages in, verdicts out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection

    from tuneloop_operator.cluster import Manifest
    from tuneloop_operator.cluster.pages import Page, Scope
    from tuneloop_operator.controller.store import Store


class Listing:
    """Puts the pages of lists together."""

    def __init__(self, expected: Collection[Scope]) -> None:
        """`expected`: the lists without which nothing can be decided."""
        self._missing = set(expected)
        self._uids: dict[Scope, set[str]] = {}

    @property
    def is_complete(self) -> bool:
        """Whether each expected list was seen to its end at least once."""
        return not self._missing

    def take(self, page: Page, store: Store) -> list[Manifest]:
        """Note a page; after the last one, return what the store knows and what is gone. It stays in the store until it is removed."""
        if page.is_first:
            self._uids[page.scope] = set()
        if page.scope not in self._uids:
            return []
        self._uids[page.scope].update(item["metadata"]["uid"] for item in page.items)
        if not page.is_last:
            return []
        self._missing.discard(page.scope)
        listed = self._uids.pop(page.scope)
        kind, namespace = page.scope
        return store.gone(kind, namespace=namespace, listed=listed, version=page.version)
