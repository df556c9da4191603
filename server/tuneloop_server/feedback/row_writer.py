"""Writes rows in a thread of its own, so that no answer waits for a disk, and none fails by it. What waits is bounded."""

from __future__ import annotations

import json
import logging
import sys
import threading
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tuneloop_server.feedback.redacted import redacted

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tuneloop_api.contract.feedback_row import FeedbackRow
    from tuneloop_server.feedback.row_metrics import RowMetrics
    from tuneloop_server.feedback.shards import Shards
    from tuneloop_server.feedback.uploads import Uploads

SYNC_SECONDS = 1.0
"""Rows of so long are written and synced together: a server that is killed loses the feedback of its last second at most."""
RETRY_SECONDS = 5.0
IDLE_SECONDS = 30.0
"""So long no row has to come until a file is closed that has grown for its time."""
CLEANING_SECONDS = 3600.0
MOST_WAITING_BYTES = 16 * 1024 * 1024
_ROW_BYTES = 1024
"""Of a row in memory, beside its text, which may be there twice: as it came, and as it is written."""
_CLOSING_SECONDS = 5.0
_log = logging.getLogger(__name__)


@dataclass
class _Waiting:
    row: FeedbackRow
    size: int
    """Bytes that it takes in memory, about."""
    line: bytes | None = None
    """As it is written; None until then. To mask a text takes time, and is done once."""


class RowWriter:
    """Takes rows on any thread, and writes them on its own."""

    def __init__(
        self,
        shards: Shards,
        *,
        folder: Path,
        redacts: bool,
        metrics: RowMetrics,
        uploads: Uploads | None = None,
        most_bytes: int = MOST_WAITING_BYTES,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """folder: for messages. redacts: whether personal data is masked. uploads: sends the files to a bucket, from a folder where they do not stay; None: they
        stay. clock: seconds since 1970.
        """
        self._shards = shards
        self._folder = folder
        self._redacts = redacts
        self._most_bytes = most_bytes
        self._clock = clock
        self._rows: deque[_Waiting] = deque()
        self._bytes = 0
        self._changed = threading.Condition()
        self._is_closing = False
        self._problem = ""
        self._thread = threading.Thread(target=self._run, name="feedback-rows", daemon=True)
        self._metrics = metrics
        self._uploads = uploads

    def start(self) -> None:
        """Begin to write."""
        self._thread.start()
        if self._uploads is not None:
            self._uploads.start()

    def put(self, row: FeedbackRow) -> None:
        """Take a row. If too much waits, the row is lost, and counted as lost."""
        size = _ROW_BYTES + 2 * (sys.getsizeof(row.text) + sys.getsizeof(row.label))
        with self._changed:
            if self._bytes + size > self._most_bytes:
                self._metrics.refused()
                return
            self._metrics.waits(1)
            self._rows.append(_Waiting(row, size))
            self._bytes += size
            self._changed.notify()

    def flush(self) -> bool:
        """Write what waits; return whether that could be done. What could not be written waits on."""
        with self._changed:
            waiting = list(self._rows)
        if not waiting:
            return True
        try:
            self._shards.write([(found.row.labelled_at, self._line(found)) for found in waiting])
        except OSError as error:
            self._failed(f"cannot be written ({error.strerror}); rows of feedback wait, and later ones are lost")
            return False
        with self._changed:
            for found in waiting:
                self._rows.popleft()
                self._bytes -= found.size
        if self._uploads is None:
            self._metrics.written(len(waiting))
        if self._problem:
            _log.info("%s: can be written again", self._folder)
            self._problem = ""
        return True

    def close(self) -> None:
        """Write what waits, once more if the disk is full, and end. A disk that does not answer is not waited for."""
        with self._changed:
            self._is_closing = True
            self._changed.notify()
        self._thread.join(_CLOSING_SECONDS)
        if self._thread.is_alive() or self._rows:
            _log.warning("%s: %d rows of feedback are lost with this process", self._folder, len(self._rows))
        if self._uploads is not None:
            self._uploads.close()

    def _run(self) -> None:
        cleaned: float | None = None
        while not self._is_closing:
            if cleaned is None or time.monotonic() - cleaned >= CLEANING_SECONDS:
                cleaned = time.monotonic()
                self._clean()
            with self._changed:
                self._changed.wait_for(lambda: self._rows or self._is_closing, timeout=IDLE_SECONDS)
            self._shards.close_old()
            pause = SYNC_SECONDS if self.flush() else RETRY_SECONDS
            with self._changed:
                self._changed.wait_for(lambda: self._is_closing, timeout=pause)
        self.flush()
        self._shards.close()

    def _clean(self) -> None:
        try:
            if removed := self._shards.remove_old(now=self._clock()):
                _log.info(
                    "%s: %d files of feedback are older than the retention, and were removed", self._folder, removed
                )
        except OSError as error:
            self._failed(f"old files cannot be removed ({error.strerror})")

    def _failed(self, problem: str) -> None:
        self._metrics.failed()
        if problem != self._problem:
            _log.warning("%s: %s", self._folder, problem)
        self._problem = problem

    def _line(self, waiting: _Waiting) -> bytes:
        if waiting.line is None:
            row = waiting.row
            if self._redacts:
                row = redacted(row)
            text = json.dumps(row.to_wire(), ensure_ascii=False, separators=(",", ":"))
            waiting.line = text.encode(errors="replace") + b"\n"
        return waiting.line
