"""The bytes of all bodies that arrive or wait for their answers. They have a limit: the queue is bounded in bytes, and not in texts only."""

from __future__ import annotations

from tuneloop_server.errors import RequestError

MOST_BYTES = 16 * 1024 * 1024
"""A text in memory may take four times its bytes."""
SMALL_BYTES = 8 * 1024
"""The first bytes of each body are not counted: large bodies that stall keep no small request out, and connections are limited."""


class BodyMemory:
    """What all bodies of a server take."""

    def __init__(self, most: int = MOST_BYTES) -> None:
        self.taken = 0
        self._most = most

    def take(self, size: int) -> None:
        """Count bytes. Raises RequestError if there are too many."""
        if self.taken + size > self._most:
            message = f"the requests that are being answered may have {self._most} bytes together; try again in 1 s"
            raise RequestError(message, status=429, reason="overloaded", retry_after=1)
        self.taken += size


class BodyShare:
    """What the body of one request takes, from its first byte until the request is answered."""

    __slots__ = ("_counted", "_memory")

    def __init__(self, memory: BodyMemory) -> None:
        self._memory = memory
        self._counted = 0

    def grow(self, size: int) -> None:
        """Count a body that has `size` bytes by now. Raises RequestError if memory is short."""
        more = size - SMALL_BYTES - self._counted
        if more > 0:
            self._memory.take(more)
            self._counted += more

    def give_back(self) -> None:
        """Count the body no more."""
        self._memory.taken -= self._counted
        self._counted = 0
