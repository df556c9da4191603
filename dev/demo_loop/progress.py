"""The line that says where the story is: phase, time left, accuracy by the labels of the last minute, trigger, loop, share of the canary."""

from __future__ import annotations

from collections import deque
from enum import StrEnum
from typing import TYPE_CHECKING, Any, TextIO

from demo_loop.decisions import canary_share, trigger_of
from demo_loop.events import Feedback, Mark, Request

if TYPE_CHECKING:
    from demo_loop.events import Event

WINDOW = 60.0
"""Seconds that the accuracy is of."""


class Phase(StrEnum):
    """A stretch of the story."""

    TRAINING = "first training"
    STEADY = "steady traffic"
    DRIFT = "drift"
    RETRAINING = "retraining"
    ROLLOUT = "roll-out"
    AFTER = "after the promotion"


EXPECTED = {
    Phase.TRAINING: 240.0,
    Phase.STEADY: 180.0,
    Phase.DRIFT: 240.0,
    Phase.RETRAINING: 420.0,
    Phase.ROLLOUT: 150.0,
    Phase.AFTER: 120.0,
}
"""Seconds that a phase takes on two free cores."""


def seconds_left(phase: Phase, spent: float) -> float:
    """Return how long the story will go on. spent: seconds in this phase; one that takes longer than expected is taken to end now."""
    phases = list(Phase)
    later = phases[phases.index(phase) + 1 :]
    return max(0.0, EXPECTED[phase] - spent) + sum(EXPECTED[found] for found in later)


class Progress:
    """Counts events; writes the line at the times of the events, so that it needs no clock."""

    def __init__(self, out: TextIO, *, began: float, trigger: str) -> None:
        self._out = out
        self._began = began
        self._trigger = trigger
        self._every = 1.0 if out.isatty() else 15.0
        self._next = began
        self._labels: deque[Feedback] = deque()
        self._failed = 0
        self._phase, self._since = Phase.TRAINING, began
        self.status: dict[str, Any] = {}
        """Of the deployment, as last seen."""
        self.note = ""
        """About a job that runs."""

    @property
    def phase(self) -> Phase:
        """Where the story is."""
        return self._phase

    def enter(self, phase: Phase, *, at: float) -> None:
        """Note that a phase begins."""
        self._phase, self._since, self._next = phase, at, at

    def add(self, event: Event) -> None:
        """Count an event, and write the line if it is due. A mark has a line of its own."""
        if isinstance(event, Mark):
            self._write(f"{event.at - self._began:5.0f} s  ● {event.text}", end="\n")
        elif isinstance(event, Feedback):
            if event.status == 200:
                self._labels.append(event)
        elif isinstance(event, Request):
            self._failed += event.prediction is None
        self.look(event.at)

    def look(self, at: float) -> None:
        """Write the line if it is due."""
        if at >= self._next:
            self._next = at + self._every
            self._write(self.text(at))

    def text(self, now: float) -> str:
        """Return the line."""
        left = seconds_left(self._phase, now - self._since) / 60
        begin = f"{now - self._began:5.0f} s  {self._phase}, about {left:.0f} min left"
        if not self.status:
            return f"{begin}  {self.note}"
        loop = (self.status.get("retraining") or {}).get("state", "Idle")
        found = trigger_of(self.status, self._trigger).get("state", "Unknown")
        states = f"trigger {found}  loop {loop}  canary {canary_share(self.status)} %"
        return f"{begin}  right by labels: {self._accuracy(now)}  {states}  failed {self._failed}  {self.note}".rstrip()

    def _accuracy(self, now: float) -> str:
        while self._labels and self._labels[0].at < now - WINDOW:
            self._labels.popleft()
        right = sum(label.correct for label in self._labels)
        return f"{right / len(self._labels):.1%} of {len(self._labels)}" if self._labels else "no label"

    def _write(self, text: str, *, end: str = "") -> None:
        self._out.write(f"\r\x1b[K{text}{end}" if self._out.isatty() else f"{text}\n")
        self._out.flush()
