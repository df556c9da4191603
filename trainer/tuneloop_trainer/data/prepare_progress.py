"""The parts of `prepare`: each is timed, logged and reported with the fraction of the stage that is done."""

from __future__ import annotations

import logging
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tuneloop_trainer.report import Reporter

LOG = logging.getLogger(__name__)


class PrepareProgress:
    """Runs the parts one after another."""

    def __init__(self, reporter: Reporter) -> None:
        self._reporter = reporter
        self._begun = time.monotonic()
        self._fraction = 0.0
        self.seconds: dict[str, float] = {}
        """Time of each part that is done."""

    @contextmanager
    def part(self, name: str, *, until: float) -> Iterator[Callable[[float], None]]:
        """Run a part that ends at the fraction `until` of the whole stage; gives a function that takes the done fraction of the part."""
        begun, start = time.monotonic(), self._fraction

        def progress(done: float) -> None:
            self._post(name, start + done * (until - start))

        progress(0.0)
        yield progress
        self._fraction = until
        self.seconds[name] = time.monotonic() - begun
        LOG.info("%s: %.1f s", name, self.seconds[name])

    def _post(self, detail: str, fraction: float) -> None:
        elapsed = time.monotonic() - self._begun
        left = int(elapsed * (1 - fraction) / fraction) if fraction > 0 else None
        self._reporter.post(detail=detail, fraction=round(fraction, 4), eta_seconds=left)
