"""Tells a hang from a long step. Pure: the caller passes the time."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tuneloop_trainer.supervisor.heartbeat import Beat

STEPS = 10
"""A hang is a time without a beat that is as long as this many slow steps."""
FLOOR_SECONDS = 60.0
"""Shortest time without a beat that is a hang."""
FIRST_STEP_SECONDS = 600.0
"""The same in the first step of an attempt: the time of a step is not known yet, and kernels are chosen and compiled during the first step."""


class HangWatch:
    """Watches the heartbeats of a pod's ranks by the supervisor's own clock; the times of the files only show that there was a beat."""

    def __init__(self, *, now: float, floor_seconds: float, limit_seconds: float | None = None) -> None:
        """limit_seconds: the limit, in place of the limit that follows from the times of the steps."""
        self._floor, self._limit = floor_seconds, limit_seconds
        self._beats: list[Beat | None] = []
        self._newest = now
        """When the beats changed last."""

    def update(self, beats: Sequence[Beat | None], *, now: float) -> None:
        """Take the newest beats of all ranks, as read from their files."""
        if list(beats) != self._beats:
            self._beats, self._newest = list(beats), now

    @property
    def step(self) -> int:
        """The last step that any rank has made."""
        return max((beat.step for beat in self._beats if beat), default=0)

    @property
    def limit_seconds(self) -> float:
        """Longest time without a beat that is no hang."""
        if self._limit is not None:
            return self._limit
        slow = max((beat.slow_step_seconds for beat in self._beats if beat), default=0.0)
        return max(STEPS * slow, self._floor) if slow else max(FIRST_STEP_SECONDS, self._floor)

    def hangs(self, *, now: float) -> bool:
        """Tell whether the ranks hang: none has beaten for longer than the limit."""
        return now - self._newest > self.limit_seconds
