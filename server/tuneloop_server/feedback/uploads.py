"""Sends files of rows from a folder of the pod to a bucket, in a thread of its own: whole files, under the names that they have, each until it is there.

A file that may still grow is locked by who writes it. The others belong to nobody: those of a process that was killed are sent by the next one of the pod.
"""

from __future__ import annotations

import fcntl
import logging
import os
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tuneloop_api.contract.feedback_row import MOST_SHARDS, SHARD_SUFFIX
from tuneloop_api.contract.server_config import UPLOAD_SECONDS
from tuneloop_api.objects.storage import Storage, StorageRefusedError
from tuneloop_server.feedback.shards import day_of_name, is_over

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from typing import BinaryIO

    from tuneloop_api.wire.uris import ObjectPath
    from tuneloop_server.feedback.row_metrics import RowMetrics

LOOK_SECONDS = 2.0
RETRY_SECONDS = 5.0
CLEANING_SECONDS = 3600.0
_log = logging.getLogger(__name__)


class Uploads:
    """The way of files from a folder to a bucket. Only one process of a pod sends; another one would send nothing twice, but count rows twice."""

    def __init__(
        self,
        folder: Path,
        place: ObjectPath,
        *,
        retention_seconds: int,
        metrics: RowMetrics,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """place: of the files in the bucket. clock: seconds since 1970."""
        self._folder = folder
        self._place = place
        self._retention_seconds = retention_seconds
        self._metrics = metrics
        self._clock = clock
        self._storage: Storage | None = None
        self._problem = ""
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="feedback-uploads", daemon=True)

    def start(self) -> None:
        """Begin to send, first what an earlier process of the pod has left."""
        for _, file in self._complete():
            self._metrics.waits(_rows(file.read()))
        self._thread.start()

    def send(self) -> bool:
        """Send all files that grow no longer; return whether that could be done. What could not be sent stays."""
        try:
            for path, file in self._complete():
                content = file.read()
                self._opened().create(f"{self._place.path}/{path.name}", content)
                path.unlink(missing_ok=True)  # the retention may have removed it meanwhile
                self._metrics.written(_rows(content))
        except (StorageRefusedError, OSError) as error:
            self._failed("cannot be written", error)
            return False
        if self._problem:
            _log.info("%s: can be written again", self._place.uri)
            self._problem = ""
        return True

    def remove_old(self) -> None:
        """Delete the objects of days that have been over for longer than the retention. Objects of other names stay."""
        try:
            found = self._opened().below(self._place.path, most=MOST_SHARDS)
            old = [item.path for item in found if self._is_over(item.path)]
            if old:
                self._opened().delete(old)
                _log.info("%s: %d objects of feedback are older than the retention, and were removed", self._place.uri, len(old))  # fmt: skip
        except StorageRefusedError as error:
            self._failed("old objects cannot be removed", error)

    def close(self) -> None:
        """Send what is there, and end. A bucket that does not answer in time is not waited for."""
        self._closing.set()
        self._thread.join(UPLOAD_SECONDS)
        if left := sum(1 for path in self._files() if _size(path)):  # also that which is being sent
            _log.warning("%s: %d files of feedback are lost with this pod", self._place.uri, left)

    def _run(self) -> None:
        cleaned: float | None = None
        while not self._closing.is_set():
            if cleaned is None or time.monotonic() - cleaned >= CLEANING_SECONDS:
                cleaned = time.monotonic()
                self.remove_old()
            self._closing.wait(LOOK_SECONDS if self.send() else RETRY_SECONDS)
        self.send()

    def _complete(self) -> Iterator[tuple[Path, BinaryIO]]:
        """Yield each file that grows no longer, opened and locked. Empty ones are left alone: one that was just made is not locked yet."""
        for path in self._files():
            with _locked(path) as file:
                if file is not None and os.fstat(file.fileno()).st_size:
                    yield path, file

    def _files(self) -> list[Path]:
        return sorted(self._folder.glob(f"*{SHARD_SUFFIX}"))

    def _opened(self) -> Storage:
        if self._storage is None:
            self._storage = Storage(self._place, tries=1)
        return self._storage

    def _is_over(self, name: str) -> bool:
        day = day_of_name(name.removeprefix(f"{self._place.path}/"))
        return day is not None and is_over(day, retention_seconds=self._retention_seconds, now=self._clock())

    def _failed(self, what: str, error: StorageRefusedError | OSError) -> None:
        self._metrics.failed()
        hint = error.refusal.hint if isinstance(error, StorageRefusedError) else None
        problem = f"{what} ({error}); rows of feedback wait on this pod's disk" + (f"; {hint}" if hint else "")
        if problem != self._problem:
            _log.warning("%s: %s", self._place.uri, problem)
        self._problem = problem


def _size(path: Path) -> int:
    """Return the bytes of a file; 0 if it is gone."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _rows(content: bytes) -> int:
    """Return how many whole lines there are."""
    return content.count(b"\n")


@contextmanager
def _locked(path: Path) -> Iterator[BinaryIO | None]:
    """Open and lock a file; None if it is locked by another one, or gone."""
    try:
        file = path.open("rb")
    except FileNotFoundError:
        yield None
        return
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield None
        else:
            yield file
