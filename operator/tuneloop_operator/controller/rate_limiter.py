"""How many writes a second all jobs together may make to show progress."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta


class RateLimiter:
    """Lets through so many a second on average, and one second's worth at once after a pause."""

    def __init__(self, *, per_second: float) -> None:
        self._interval = timedelta(seconds=1 / per_second)
        self._next = datetime.min.replace(tzinfo=UTC)
        """When the next one is due, were they spread evenly."""

    def wait(self, now: datetime) -> float:
        """Return 0 and count one that is let through now, or the seconds until one may be."""
        self._next = min(self._next, now + self._interval)  # it can only be later where the clock was set back
        even = max(self._next, now - timedelta(seconds=1) + self._interval)
        if even > now:
            return (even - now).total_seconds()
        self._next = even + self._interval
        return 0.0
