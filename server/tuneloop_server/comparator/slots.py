"""How many pairs are under way at the same time: of copies and of golden rows together."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine


class Slots:
    """Runs pairs, at most so many at once. Who started one may be gone before it ends."""

    def __init__(self, most: int) -> None:
        self._free = asyncio.Semaphore(most)
        self._tasks: set[asyncio.Task[None]] = set()
        self._defect: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @property
    def taken(self) -> int:
        """How many pairs are under way."""
        return len(self._tasks)

    async def start(self, work: Callable[[], Coroutine[None, None, None]]) -> asyncio.Task[None]:
        """Start a pair once a slot is free; those that wait get one in turn."""
        await self._free.acquire()
        task = asyncio.create_task(work())
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    async def finish(self, seconds: float) -> int:
        """Wait for the pairs under way; cut off what takes longer, and return how many that are."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=seconds)
        for task in self._tasks:
            task.cancel()
        return len(self._tasks)

    async def defect(self) -> None:
        """Wait until a pair fails by a defect of ours; raise its error."""
        await self._defect

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._free.release()
        if task.cancelled():
            return
        error = task.exception()
        if error is not None and not self._defect.done():
            self._defect.set_exception(error)
