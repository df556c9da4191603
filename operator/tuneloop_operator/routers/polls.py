"""The polls that wait for a new split. A router has one poll at a time: its next one ends the one before, whose connection is gone."""

from __future__ import annotations

import asyncio
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

    def __init__(self, *, most: int) -> None:
        """most: polls that may wait; a further one is answered at once."""
        self._most = most
        self._waiting: dict[DeploymentKey, dict[str, Poll]] = {}
        self._count = 0

    @property
    def count(self) -> int:
        """How many polls wait."""
        return self._count

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
        poll = None if self._count >= self._most else Poll()
        if poll is not None:
            polls[router] = poll
            self._count += 1
        try:
            yield poll
        finally:
            self._count -= poll is not None
            if polls.get(router) is poll:
                polls.pop(router, None)
            if not polls and self._waiting.get(key) is polls:
                del self._waiting[key]
