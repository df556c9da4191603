"""The request to stop: SIGTERM to any rank. All ranks agree on it once per step."""

from __future__ import annotations

import signal


class StopRequest:
    """Whether this rank got SIGTERM."""

    def __init__(self) -> None:
        self.asked = False

    def listen(self) -> None:
        """Take SIGTERM as the request to save and leave. Before this call SIGTERM ends the process, which has nothing to save."""
        signal.signal(signal.SIGTERM, self._ask)

    def _ask(self, *_: object) -> None:
        self.asked = True
