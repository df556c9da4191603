"""Copies that wait to be compared: bounded in number and, with those that arrive and that are being compared, in bytes."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tuneloop_server.body_memory import BodyShare


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy:
    """A copy of a live request."""

    target: bytes
    """Path and query."""
    body: bytes
    share: BodyShare
    """What the body takes of the memory for bodies; given back when the copy has been compared or is dropped."""


class Backlog:
    """A queue that takes nothing once it is full: the newest copy is dropped, for the sender never waits."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._copies: deque[Copy] = deque()
        self._came = asyncio.Event()

    def __len__(self) -> int:
        return len(self._copies)

    def put(self, copy: Copy) -> bool:
        """Add a copy; return False if there is no room."""
        if len(self._copies) >= self._most:
            return False
        self._copies.append(copy)
        self._came.set()
        return True

    async def take(self) -> Copy:
        """Return the copy that waits longest; wait for one."""
        while not self._copies:
            self._came.clear()
            await self._came.wait()
        return self._copies.popleft()

    def drop_all(self) -> int:
        """Forget all copies; return how many there were."""
        dropped = len(self._copies)
        for copy in self._copies:
            copy.share.give_back()
        self._copies.clear()
        return dropped
