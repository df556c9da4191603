"""Waits for a condition with a deadline: `until`, and `eventually` in an event loop.

A deadline says when to give up; it does not measure. A busy machine has taken thirty times as long as a quiet one, so no deadline is shorter than
`LEAST_SECONDS`.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

LEAST_SECONDS = 120.0
_POLL_SECONDS = 0.05
T = TypeVar("T")


def deadline_after(seconds: float) -> float:
    """Return the moment of the monotonic clock at which to give up: after these seconds, or `LEAST_SECONDS`."""
    return time.monotonic() + max(seconds, LEAST_SECONDS)


def until(condition: Callable[[], T], *, seconds: float, what: str, pause: float = _POLL_SECONDS) -> T:
    """Return what `condition` returns once that is true; raise AssertionError at the deadline. pause: seconds between two looks."""
    deadline = deadline_after(seconds)
    while not (found := condition()):
        assert time.monotonic() < deadline, f"{what}: not within {max(seconds, LEAST_SECONDS):g} s"
        time.sleep(pause)
    return found


async def eventually(condition: Callable[[], Awaitable[T]], *, seconds: float, what: str) -> T:
    """Return what `condition` returns once that is true; raise AssertionError at the deadline."""
    deadline = deadline_after(seconds)
    while not (found := await condition()):
        assert time.monotonic() < deadline, f"{what}: not within {max(seconds, LEAST_SECONDS):g} s"
        await asyncio.sleep(_POLL_SECONDS)
    return found
