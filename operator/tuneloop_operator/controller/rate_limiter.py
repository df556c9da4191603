"""Limits the progress writes of all jobs together. Namespaces that wait for a write take turns."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

_LATE = timedelta(seconds=1)
"""How long after its wait a namespace may ask again without losing its turn. The work queue takes a namespace within milliseconds."""


class RateLimiter:
    """Allows so many writes a second on average, and as many at once after a pause."""

    def __init__(self, *, per_second: float) -> None:
        self._interval = timedelta(seconds=1 / per_second)
        self._next = datetime.min.replace(tzinfo=UTC)
        """When the next write is due, if writes are spread evenly."""
        self._turns: dict[str, datetime] = {}
        """The namespaces that wait, in turn, and when each is to ask again. Without turns, the next write would be of whoever asks first: hardly
        ever of a job among thousands of others."""

    def wait(self, now: datetime, *, namespace: str = "") -> float:
        """Return 0 and count a write that is allowed now, or return the seconds until one is allowed."""
        self._next = min(self._next, now + self._interval)  # it is later only if the clock was set back
        even = max(self._next, now - timedelta(seconds=1) + self._interval)
        if even <= now and self._has_turn(namespace, now):
            self._turns.pop(namespace, None)
            self._next = even + self._interval
            return 0.0
        wait = even - now if even > now else self._interval
        self._turns[namespace] = now + wait
        return wait.total_seconds()

    def _has_turn(self, namespace: str, now: datetime) -> bool:
        for waiting, due in list(self._turns.items()):
            if not -_LATE - self._interval <= now - due <= _LATE:  # it is gone, or the clock was set back
                del self._turns[waiting]
        return next(iter(self._turns), namespace) == namespace
