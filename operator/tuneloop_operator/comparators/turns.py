"""Which comparator is asked next: each every few seconds, few at once, and fewer of one namespace. Pure, with the time passed in."""

from __future__ import annotations

from collections import Counter
from math import inf
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

DeploymentKey = tuple[str, str]
"""Namespace and name."""
EVERY_SECONDS = 5.0
MOST = 16
MOST_OF_NAMESPACE = 4
"""So that comparators of one tenant that all hang keep no other tenant's from being asked."""


class Turns:
    """When each comparator was asked last, and which are being asked."""

    def __init__(
        self, *, every: float = EVERY_SECONDS, most: int = MOST, most_of_namespace: int = MOST_OF_NAMESPACE
    ) -> None:
        """every: seconds from one request to the next. most: at the same time, in all and of one namespace."""
        self._every = every
        self._most = most
        self._most_of_namespace = most_of_namespace
        self._asked: dict[DeploymentKey, float] = {}
        self._running: set[DeploymentKey] = set()

    def begin(self, keys: Iterable[DeploymentKey], *, now: float) -> list[DeploymentKey]:
        """Return those of all comparators that are to be asked now, the one that waits longest first. Each runs until `end`."""
        wanted = set(keys)
        self._asked = {key: at for key, at in self._asked.items() if key in wanted or key in self._running}
        running = Counter(namespace for namespace, _ in self._running)
        begun = []
        for key in sorted(wanted - self._running, key=lambda key: (self._asked.get(key, -inf), key)):
            is_due = now - self._asked.get(key, -inf) >= self._every
            if not is_due or running.total() >= self._most or running[key[0]] >= self._most_of_namespace:
                continue
            running[key[0]] += 1
            self._running.add(key)
            self._asked[key] = now
            begun.append(key)
        return begun

    def end(self, key: DeploymentKey) -> None:
        """Note that a comparator has answered, or will not."""
        self._running.discard(key)
