"""What a server counts of the rows of feedback that it keeps."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import Counter, Gauge

if TYPE_CHECKING:
    from tuneloop_server.monitoring import Monitoring


class RowMetrics:
    """Counts rows from the feedback to the claim or the bucket."""

    def __init__(self, monitoring: Monitoring) -> None:
        names, registry, constant = tuple(monitoring.constant), monitoring.registry, monitoring.constant
        text = "Rows of feedback that were written, or could not be."
        rows = Counter("tuneloop_feedback_rows", text, (*names, "outcome"), registry=registry)
        self._written, self._lost = (rows.labels(**constant, outcome=outcome) for outcome in ("written", "lost"))
        text = "Attempts to write rows that failed; the rows wait."
        self._failures = Counter("tuneloop_feedback_write_failures", text, names, registry=registry).labels(**constant)
        text = "Rows of feedback that are not written yet: in memory, or on the pod's own disk."
        self._waiting = Gauge("tuneloop_feedback_rows_waiting", text, names, registry=registry).labels(**constant)

    def waits(self, rows: int) -> None:
        """Count rows that are to be written."""
        self._waiting.inc(rows)

    def written(self, rows: int) -> None:
        """Count rows that had to wait no longer: they are on the claim, or in the bucket."""
        self._waiting.dec(rows)
        self._written.inc(rows)

    def refused(self) -> None:
        """Count a row for which there was no room."""
        self._lost.inc()

    def failed(self) -> None:
        """Count an attempt that failed."""
        self._failures.inc()
