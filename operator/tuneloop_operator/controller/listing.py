"""What complete lists show: which kinds are known completely, and which objects were deleted while no watch ran.

After a watch breaks off, a new list is read. An object that was deleted in between is in neither. Comparing uids finds it.
Pure: pages in, deleted objects out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection

    from tuneloop_operator.cluster import Manifest
    from tuneloop_operator.cluster.pages import Page, Scope
    from tuneloop_operator.controller.store import Store


class Listing:
    """Joins the pages of lists."""

    def __init__(self, expected: Collection[Scope]) -> None:
        """expected: the lists without which nothing can be decided."""
        self._missing = set(expected)
        self._uids: dict[Scope, set[str]] = {}

    @property
    def is_complete(self) -> bool:
        """Whether each expected list was read to its end at least once."""
        return not self._missing

    def take(self, page: Page, store: Store) -> list[Manifest]:
        """Take in a page; after the last page, return the stored objects that the list no longer holds. They stay in the store."""
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
