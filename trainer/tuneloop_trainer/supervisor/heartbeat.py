"""The heartbeat of a rank: a small file that changes with every step. The supervisor finds hangs by it.

The file holds the number of optimizer steps made and the 95th percentile of the step time in seconds.
"""

from __future__ import annotations

import math
import os
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

HEARTBEAT_VARIABLE = "TUNELOOP_HEARTBEAT"
"""Environment variable with the path of a rank's heartbeat file."""
LONGEST_PAUSE_SECONDS = 1800.0
"""Longest time for which a thread beats during a pause such as loading or saving; after it the pause counts as a hang."""
SHORTEST_PAUSE_SECONDS = 1.0
"""Shortest time between two beats of the same step; the supervisor needs no more."""
_PAUSE_BEAT_SECONDS = 1.0
"""Time between two beats of a pause. Well below the shortest useful hang limit, since a beat may come late on a busy machine."""


@dataclass(frozen=True)
class Beat:
    """The content of a heartbeat file."""

    changed: int
    """Modification time in nanoseconds: only its changes count, which show that there was a new beat."""
    step: int
    slow_step_seconds: float


class Heartbeat:
    """Writes the heartbeat of a rank. Without a supervisor it does nothing."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._line = "0 0.0"
        self._written, self._beaten = "", -math.inf

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Heartbeat:
        """Return the heartbeat that writes to the file which the supervisor has named, if there is a supervisor."""
        named = environment.get(HEARTBEAT_VARIABLE)
        return cls(Path(named) if named else None)

    def step_done(self, step: int, *, slow_step_seconds: float) -> None:
        """Beat after an optimizer step."""
        self._line = f"{step} {slow_step_seconds!r}"
        self.beat()

    def beat(self) -> None:
        """Beat during a step, such as after each micro-batch; at most once a second."""
        now = time.monotonic()
        if self._path is not None and (self._line != self._written or now - self._beaten >= SHORTEST_PAUSE_SECONDS):
            self._written, self._beaten = self._line, now
            draft = self._path.with_suffix(f".{threading.get_ident()}")
            draft.write_text(self._line)
            draft.replace(self._path)

    @contextmanager
    def through_pause(self) -> Iterator[None]:
        """Beat from a thread during a long block without steps, such as loading; for at most `LONGEST_PAUSE_SECONDS`."""
        over = threading.Event()
        thread = threading.Thread(target=self._beat_until, args=(over,), name="heartbeat", daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()
            self.beat()

    def _beat_until(self, over: threading.Event) -> None:
        last = time.monotonic() + LONGEST_PAUSE_SECONDS
        while time.monotonic() < last:
            self.beat()
            if over.wait(_PAUSE_BEAT_SECONDS):
                return


def read_beat(path: Path) -> Beat | None:
    """Return the newest beat; None before the first."""
    try:
        changed = os.stat(path).st_mtime_ns  # noqa: PTH116  (called often)
        step, slow = path.read_text().split()
    except (FileNotFoundError, ValueError):
        return None
    return Beat(changed=changed, step=int(step), slow_step_seconds=float(slow))
