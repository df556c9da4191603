"""The polls that wait for a new split. A router has one poll at a time: its next one ends the one before, whose connection is gone."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

DeploymentKey = tuple[str, str]
"""Namespace and name."""


@dataclass(eq=False)
class Poll:
    """A request of a router that waits."""

    _changed: asyncio.Event = field(default_factory=asyncio.Event)
    is_superseded: bool = False
    """Whether the same router asks again."""

    async def wait(self, seconds: float) -> bool:
        """Return once the deployment has changed or the poll is superseded; False if neither happens within the time."""
        try:
            async with asyncio.timeout(seconds):
                await self._changed.wait()
        except TimeoutError:
            return False
        self._changed.clear()
        return True

    def wake(self) -> None:
        """Let the poll look again."""
        self._changed.set()


class Polls:
    """All polls that wait, by deployment and router."""

    def __init__(self, *, most: int, most_of_namespace: int | None = None) -> None:
        """most: polls that may wait, in all and of one namespace (None: as many); a further one is answered at once."""
        self._most = most
        self._most_of_namespace = most if most_of_namespace is None else most_of_namespace
        self._waiting: dict[DeploymentKey, dict[str, Poll]] = {}
        self._count: Counter[str] = Counter()
        """By namespace."""

    @property
    def count(self) -> int:
        """How many polls wait."""
        return self._count.total()

    def wake(self, key: DeploymentKey) -> None:
        """Let the polls of a deployment look again."""
        for poll in self._waiting.get(key, {}).values():
            poll.wake()

    def wake_all(self) -> None:
        """Let all polls look again."""
        for key in self._waiting:
            self.wake(key)

    @contextmanager
    def waiting(self, key: DeploymentKey, router: str) -> Iterator[Poll | None]:
        """Yield the poll of a router for as long as it waits; None if too many wait."""
        polls = self._waiting.setdefault(key, {})
        if (before := polls.pop(router, None)) is not None:
            before.is_superseded = True
            before.wake()
        poll = Poll() if self._has_room(key[0]) else None
        if poll is not None:
            polls[router] = poll
            self._count[key[0]] += 1
        try:
            yield poll
        finally:
            self._forget(key, router, poll)

    def _has_room(self, namespace: str) -> bool:
        return self.count < self._most and self._count[namespace] < self._most_of_namespace

    def _forget(self, key: DeploymentKey, router: str, poll: Poll | None) -> None:
        """Forget a poll that has ended."""
        if poll is not None:
            self._count[key[0]] -= 1
            self._count += Counter()  # without the namespaces of which no poll waits
        polls = self._waiting.get(key, {})
        if polls.get(router) is poll:
            polls.pop(router, None)
        if not polls:
            self._waiting.pop(key, None)
