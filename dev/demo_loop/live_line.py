"""A line about the last minute of traffic, written anew each second on a terminal and every ten seconds elsewhere."""

from __future__ import annotations

from collections import Counter, deque
from typing import TYPE_CHECKING, TextIO

from demo_loop.events import Feedback, Mark, Request

if TYPE_CHECKING:
    from demo_loop.events import Event

WINDOW = 60.0
"""Seconds that the accuracy is of."""


class LiveLine:
    """Counts events; writes them at their own times, so that it needs no clock."""

    def __init__(self, out: TextIO, *, began: float) -> None:
        self._out = out
        self._began = began
        self._every = 1.0 if out.isatty() else 10.0
        self._next = began + self._every
        self._recent: deque[Request] = deque()
        self._domains: Counter[str] = Counter()
        self._failed = 0
        self._labels = 0

    def add(self, event: Event) -> None:
        """Count an event, and write the line if it is due."""
        if isinstance(event, Mark):
            self._write(f"{event.at - self._began:6.0f} s  {event.text}", end="\n")
        elif isinstance(event, Feedback):
            self._labels += event.status == 200
        else:
            self._domains[event.domain] += 1
            self._failed += event.prediction is None
            self._recent.append(event)
        if event.at >= self._next:
            self._next = event.at + self._every
            self._write(self.text(event.at))

    def text(self, now: float) -> str:
        """Return the line."""
        while self._recent and self._recent[0].at < now - WINDOW:
            self._recent.popleft()
        answered = [request for request in self._recent if request.prediction is not None]
        right = sum(request.prediction == request.truth for request in answered)
        accuracy = f"{right / len(answered):.1%} of {len(answered)}" if answered else "none answered"
        domains = "  ".join(f"{name} {count}" for name, count in self._domains.items())
        revision = answered[-1].revision if answered else ""
        counts = f"{domains}  right in the last minute: {accuracy}  labels {self._labels}  failed {self._failed}"
        return f"{now - self._began:6.0f} s  {counts}  {revision}".rstrip()

    def end(self) -> None:
        """End the line."""
        self._write(self.text(self._next), end="\n")

    def _write(self, text: str, *, end: str = "") -> None:
        is_terminal = self._out.isatty()
        self._out.write(f"\r\x1b[K{text}{end}" if is_terminal else f"{text}\n")
        self._out.flush()
