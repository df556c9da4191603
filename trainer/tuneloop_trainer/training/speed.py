"""The speed of this attempt, from its last steps. Earlier attempts, evaluations and saves do not count."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field

WINDOW_STEPS = 50


@dataclass
class Speed:
    """A sliding window over the newest steps of this attempt."""

    _seconds: deque[float] = field(default_factory=lambda: deque(maxlen=WINDOW_STEPS))
    _tokens: deque[int] = field(default_factory=lambda: deque(maxlen=WINDOW_STEPS))
    total_seconds: float = 0.0
    total_tokens: int = 0

    def add(self, *, seconds: float, tokens: int) -> None:
        """Add one step, without evaluation and saving."""
        self._seconds.append(seconds)
        self._tokens.append(tokens)
        self.total_seconds += seconds
        self.total_tokens += tokens

    def tokens_per_second(self) -> float:
        """Return real tokens (no padding) per second over the window; 0 before the first step."""
        return sum(self._tokens) / sum(self._seconds) if self._seconds else 0.0

    def average_tokens_per_second(self) -> float:
        """Return real tokens per second over all steps of this attempt; 0 if it made none."""
        return self.total_tokens / self.total_seconds if self.total_seconds else 0.0

    def seconds_for(self, steps: int) -> float:
        """Return the seconds that a number of further steps will take. Not before the first step: it raises ZeroDivisionError."""
        return steps * sum(self._seconds) / len(self._seconds)

    def slow_step_seconds(self) -> float:
        """Return the 95th percentile of the step times in the window, or the longest of a few; 0 before the first step."""
        ordered = sorted(self._seconds)
        return ordered[math.ceil(0.95 * (len(ordered) - 1))] if ordered else 0.0
