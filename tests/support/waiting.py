"""Waits for a condition with a deadline: `until`, and `eventually` in an event loop."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

_POLL_SECONDS = 0.05
T = TypeVar("T")


def until(condition: Callable[[], T], *, seconds: float, what: str, pause: float = _POLL_SECONDS) -> T:
    """Return what `condition` returns once that is true; raise AssertionError at the deadline. pause: seconds between two looks."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, f"{what}: not within {seconds} s"
        time.sleep(pause)
    return found


async def eventually(condition: Callable[[], Awaitable[T]], *, seconds: float, what: str) -> T:
    """Return what `condition` returns once that is true; raise AssertionError at the deadline."""
    deadline = time.monotonic() + seconds
    while not (found := await condition()):
        assert time.monotonic() < deadline, f"{what}: not within {seconds} s"
        await asyncio.sleep(_POLL_SECONDS)
    return found
