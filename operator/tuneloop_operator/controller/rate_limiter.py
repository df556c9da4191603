"""Limits the progress writes of all jobs together."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta


class RateLimiter:
    """Allows so many writes a second on average, and as many at once after a pause."""

    def __init__(self, *, per_second: float) -> None:
        self._interval = timedelta(seconds=1 / per_second)
        self._next = datetime.min.replace(tzinfo=UTC)
        """When the next write is due, if writes are spread evenly."""

    def wait(self, now: datetime) -> float:
        """Return 0 and count a write that is allowed now, or return the seconds until one is allowed."""
        self._next = min(self._next, now + self._interval)  # it is later only if the clock was set back
        even = max(self._next, now - timedelta(seconds=1) + self._interval)
        if even > now:
            return (even - now).total_seconds()
        self._next = even + self._interval
        return 0.0
