"""The request to stop: SIGTERM, on which all ranks agree once per step."""

from __future__ import annotations

import signal


class StopRequest:
    """Whether this rank was asked to stop; all ranks agree on it once per step."""

    def __init__(self) -> None:
        self.asked = False

    def listen(self) -> None:
        """Take SIGTERM as the request to save and leave; before, it ends the process, for there is nothing to save."""
        signal.signal(signal.SIGTERM, self._ask)

    def _ask(self, *_: object) -> None:
        self.asked = True
