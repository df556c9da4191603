"""The finding Straggler: a rank that is slower than the others for the same work. Pure.

All ranks take the same time for a step, since they wait for each other; the time of a step does not show who is slow. The time of the
forward passes does, on ZeRO stages 0 to 2. On stage 3 forward passes wait for the other ranks too, and no straggler is found.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tuneloop_api.contract.results import Finding

if TYPE_CHECKING:
    from collections.abc import Sequence

WINDOW_STEPS = 20
WINDOW_SECONDS = 20.0
"""A window ends after both: soon enough to name a rank within minutes, late enough to average out garbage collection and a busy disk."""
WINDOWS = 3
"""Windows in a row in which the same rank is the slowest before it is named."""
SLOWER = 1.5
"""Time of a straggler for the same tokens, in times of the fastest rank. Two nodes of one kind differ by a few percent."""


@dataclass
class StragglerDetector:
    """Compares the times of the ranks' forward passes."""

    seconds: list[float] = field(default_factory=list)
    """Time of the forward passes in this window, by rank."""
    tokens: list[int] = field(default_factory=list)
    _steps: int = 0
    _elapsed: float = 0.0
    _slowest: int | None = None
    _in_a_row: int = 0
    _times: float = 1.0

    def add_step(self, *, seconds: Sequence[float], tokens: Sequence[int], step_seconds: float) -> None:
        """Add a step. seconds: time of the forward passes, by rank. tokens: tokens computed in them, with padding, by rank."""
        if len(self.seconds) != len(seconds):
            self.seconds, self.tokens = [0.0] * len(seconds), [0] * len(seconds)
        self.seconds = [sum(pair) for pair in zip(self.seconds, seconds, strict=True)]
        self.tokens = [sum(pair) for pair in zip(self.tokens, tokens, strict=True)]
        self._steps += 1
        self._elapsed += step_seconds
        if self._steps >= WINDOW_STEPS and self._elapsed >= WINDOW_SECONDS:
            self._judge()

    def finding(self) -> Finding | None:
        """Return the present finding."""
        if self._slowest is None or self._in_a_row < WINDOWS:
            return None
        return Finding(
            name="Straggler",
            message=f"rank {self._slowest} takes {self._times:.1f} x as long as the fastest rank for the same tokens, and all others wait for it",
            advice="Look at its node: other work, heat, a slow disk; deleting its pod restarts the gang from the newest checkpoint, on another node if that one is cordoned",
        )

    def _judge(self) -> None:
        rates = [second / token for second, token in zip(self.seconds, self.tokens, strict=True) if token]
        slowest = max(range(len(rates)), key=rates.__getitem__)
        times = rates[slowest] / min(rates) if min(rates) > 0 and len(rates) == len(self.tokens) else 1.0
        if times < SLOWER:
            self._slowest, self._in_a_row = None, 0
        else:
            self._in_a_row = self._in_a_row + 1 if slowest == self._slowest else 1
            self._slowest, self._times = slowest, times
        self.seconds, self.tokens, self._steps, self._elapsed = [], [], 0, 0.0
