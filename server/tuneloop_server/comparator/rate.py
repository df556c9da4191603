"""How many requests may begin in a second: a token bucket. Pure; the time is passed in."""

from __future__ import annotations


class Rate:
    """Lets `per_second` requests begin each second, and after a pause as many at once as a second has, at least one."""

    def __init__(self, per_second: float) -> None:
        self._per_second = per_second
        self._most = max(1.0, per_second)
        self._left = self._most
        self._at: float | None = None

    def takes(self, now: float) -> bool:
        """Tell whether a request may begin now, and count it if so. now: seconds of a clock that never goes back."""
        self._refill(now)
        if self._left < 1:
            return False
        self._left -= 1
        return True

    def wait(self, now: float) -> float:
        """Return the seconds until the next request may begin."""
        self._refill(now)
        return max(0.0, (1 - self._left) / self._per_second)

    def _refill(self, now: float) -> None:
        if self._at is not None:
            self._left = min(self._most, self._left + (now - self._at) * self._per_second)
        self._at = now
