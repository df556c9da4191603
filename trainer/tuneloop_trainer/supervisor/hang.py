"""Tells a hang from a long step: pure, the time is passed in."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tuneloop_trainer.supervisor.heartbeat import Beat

STEPS = 10
"""No beat for so many slow steps is a hang."""
FLOOR_SECONDS = 60.0
"""But never before so long."""
FIRST_STEP_SECONDS = 600.0
"""Nor before so long in the first step of an attempt: nothing is known of a step's time yet, and kernels are chosen and compiled in it."""


class HangWatch:
    """Watches the heartbeats of a pod's ranks, by its own clock: the files' times only tell that there was a beat."""

    def __init__(self, *, now: float, floor_seconds: float, limit_seconds: float | None = None) -> None:
        """`limit_seconds`: the whole limit, in place of the one that follows from the steps."""
        self._floor, self._limit = floor_seconds, limit_seconds
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
        if self._limit is not None:
            return self._limit
        slow = max((beat.slow_step_seconds for beat in self._seen if beat), default=0.0)
        return max(STEPS * slow, self._floor) if slow else max(FIRST_STEP_SECONDS, self._floor)

    def hangs(self, *, now: float) -> bool:
        """Tell whether no rank has shown a sign of life for too long."""
        return now - self._newest > self.limit_seconds
