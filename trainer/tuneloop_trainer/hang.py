"""Tells a hang from a long step: pure, the time is passed in."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tuneloop_trainer.heartbeat import Beat

STEPS = 10
"""No beat for so many slow steps is a hang."""
FLOOR_SECONDS = 60.0
"""But never before so long."""


class HangWatch:
    """Watches the heartbeats of a pod's ranks, by its own clock: the files' times only tell that there was a beat."""

    def __init__(self, *, now: float, floor_seconds: float) -> None:
        self._floor = floor_seconds
        self._seen: list[Beat | None] = []
        self._newest = now

    def see(self, beats: Sequence[Beat | None], *, now: float) -> None:
        """Take note of what the heartbeat files say."""
        if list(beats) != self._seen:
            self._seen, self._newest = list(beats), now

    @property
    def step(self) -> int:
        """The last step that any rank made."""
        return max((beat.step for beat in self._seen if beat), default=0)

    @property
    def limit_seconds(self) -> float:
        """How long the ranks may be silent."""
        slow = max((beat.slow_step_seconds for beat in self._seen if beat), default=0.0)
        return max(STEPS * slow, self._floor)

    def hangs(self, *, now: float) -> bool:
        """Tell whether no rank has shown a sign of life for too long."""
        return now - self._newest > self.limit_seconds
