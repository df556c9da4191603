"""Times of both revisions on the same request, as counts of their ratio in fixed bins. Pure."""

from __future__ import annotations

from bisect import bisect_left

from tuneloop_api.contract.comparison import RATIO_EDGES

_SHORTEST = 1e-9
"""Seconds: no clock divides by zero."""


class LatencyRatios:
    """Counts of canary's time / stable's time."""

    def __init__(self) -> None:
        self.counts = [0] * (len(RATIO_EDGES) + 1)
        self.sum = 0.0
        """Of all ratios; Prometheus wants it beside a histogram."""

    def add(self, *, stable_seconds: float, canary_seconds: float) -> None:
        """Count one pair."""
        ratio = max(canary_seconds, _SHORTEST) / max(stable_seconds, _SHORTEST)
        self.counts[bisect_left(RATIO_EDGES, ratio - 1)] += 1
        self.sum += ratio


class WarmUp:
    """Says when the times of a pair count: after so many pairs that both have answered."""

    def __init__(self, pairs: int) -> None:
        self._left = pairs

    def is_over(self) -> bool:
        """Tell whether the times of the pair that was just answered count; to be asked once for each such pair."""
        if self._left > 0:
            self._left -= 1
            return False
        return True
