"""The clock of the API server: what is decided from its timestamps must not depend on the clock of the operator's node. Pure.

The API server stamps its objects. A deadline is the difference between such a stamp and now. By a clock of another machine, which may be
set by hours at any moment, a deadline would pass too early. So now is the API server's, too: each answer has a `Date`, and between two
answers a clock counts on that nobody can set.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_RESOLUTION = timedelta(seconds=1)
"""A `Date` has whole seconds, rounded down."""


def seconds_since_boot() -> float:
    """Return the time of a clock that nobody can set, and that goes on while the machine sleeps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def time_of_day() -> datetime:
    """Return the time of this machine."""
    return datetime.now(UTC)


class ServerClock:
    """Returns the API server's time when called; this machine's before the first answer."""

    def __init__(
        self, *, elapsed: Callable[[], float] = seconds_since_boot, wall: Callable[[], datetime] = time_of_day
    ) -> None:
        """elapsed: seconds of a clock that is never set; wall: the time of this machine, which is read once."""
        self._elapsed = elapsed
        self._zero = wall() - timedelta(seconds=elapsed())
        """The API server's time when `elapsed` was 0."""

    def __call__(self) -> datetime:
        """Return the time."""
        return self._zero + timedelta(seconds=self._elapsed())

    @property
    def elapsed(self) -> float:
        """The time of the clock that is never set."""
        return self._elapsed()

    def answered(self, date: str | None, *, sent: float) -> None:
        """Take in the `Date` of an answer that has just come. sent: `elapsed` when its request was sent.

        The answer tells an interval in which the API server's time lies. The clock moves no further than into the interval, so that it does not
        jump to and fro by the part of a second that a `Date` lacks.
        """
        if (server := _read(date)) is None:
            return
        earliest = server - timedelta(seconds=self._elapsed())
        latest = server + _RESOLUTION - timedelta(seconds=sent)
        self._zero = min(max(self._zero, earliest), latest)


def _read(date: str | None) -> datetime | None:
    try:
        found = parsedate_to_datetime(date or "")
    except ValueError:
        return None
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)
