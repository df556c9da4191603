"""The files of rows that one process writes, and what it removes of all: append-only, whole lines, a file for each day and each 64 MiB.

Of files that grow for a limited time, the one that may still grow is locked by its process (`flock`). The lock ends with the process, whatever ends that.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import secrets
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from itertools import groupby
from typing import TYPE_CHECKING

from tuneloop_api.contract.feedback_row import SHARD_SUFFIX
from tuneloop_server.feedback.cohorts import DAY_SECONDS, day_of, written

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

MOST_SHARD_BYTES = 64 * 1024 * 1024
_CLOCKS_DIFFER_SECONDS = 3600
"""The files of a day stay so much longer: another server's clock may be behind, and that server still write."""
_RANDOM_BYTES = 8
_NAME = re.compile(rf"(\d{{4}}-\d{{2}}-\d{{2}})-[0-9a-f]{{{2 * _RANDOM_BYTES}}}{re.escape(SHARD_SUFFIX)}", re.ASCII)
_EPOCH = date(1970, 1, 1)
_FILE_MODE, _FOLDER_MODE = 0o640, 0o750


@dataclass
class _Shard:
    path: Path
    descriptor: int
    day: int
    opened: float
    """Of the clock that `Shards` has."""
    size: int = 0
    """Bytes of whole lines that are on disk."""


class Shards:
    """The rows of a deployment in a folder, as one process writes them. Not for several threads."""

    def __init__(
        self,
        folder: Path,
        *,
        retention_seconds: int,
        most_bytes: int = MOST_SHARD_BYTES,
        most_seconds: float | None = None,
        most_bytes_of_all: int | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """The folder is made at the first write. most_seconds: time for which a file grows; None: its day. most_bytes_of_all: of the
        files of the folder, beyond which no new one is begun; None: any number. clock: in seconds.
        """
        self._folder = folder
        self._retention_seconds = retention_seconds
        self._most_bytes = most_bytes
        self._most_seconds = most_seconds
        self._most_bytes_of_all = most_bytes_of_all
        self._clock = clock
        self._open: _Shard | None = None

    def write(self, lines: Iterable[tuple[float, bytes]]) -> None:
        """Write lines, each with its time in seconds since 1970, and sync them. Raises OSError: then some may be written, and all are to be written again."""
        for day, of_day in groupby(lines, key=lambda line: day_of(line[0])):
            self._append(day, b"".join(text for _, text in of_day))

    def remove_old(self, *, now: float) -> int:
        """Remove the files of days that have been over for longer than the retention; return how many. now: seconds since 1970.

        Raises OSError if a file cannot be removed; the others are.
        """
        old = [path for day, path in self._shards() if is_over(day, retention_seconds=self._retention_seconds, now=now)]
        failures = []
        for path in old:
            try:
                path.unlink(missing_ok=True)  # all servers remove
            except OSError as error:
                failures.append(error)
        if failures:
            raise failures[0]
        return len(old)

    def close_old(self) -> None:
        """Close the open file if it has grown for its time: from then on it stays as it is."""
        shard, most = self._open, self._most_seconds
        if shard is not None and most is not None and self._clock() - shard.opened >= most:
            self.close()

    def close(self) -> None:
        """Close the open file. What was written is synced already."""
        if self._open is not None:
            os.close(self._open.descriptor)
            self._open = None

    def _append(self, day: int, data: bytes) -> None:
        shard = self._shard(day, len(data))
        try:
            rest = memoryview(data)
            while rest:
                rest = rest[os.write(shard.descriptor, rest) :]
            os.fsync(shard.descriptor)
        except OSError:
            self._give_up(shard)
            raise
        shard.size += len(data)

    def _shard(self, day: int, more: int) -> _Shard:
        """Return the file for so many more bytes of a day."""
        self.close_old()
        shard = self._open
        if shard is not None and (shard.day != day or (shard.size and shard.size + more > self._most_bytes)):
            self.close()
        if self._open is None:
            self._open = self._new(day)
        return self._open

    def _new(self, day: int) -> _Shard:
        self._refuse_link()
        most = self._most_bytes_of_all
        if most is not None and sum(path.stat().st_size for _, path in self._shards()) >= most:
            raise OSError(errno.ENOSPC, f"{most / 2**20:.0f} MiB wait here already", str(self._folder))
        self._folder.mkdir(mode=_FOLDER_MODE, parents=True, exist_ok=True)
        path = self._folder / f"{written(day)}-{secrets.token_hex(_RANDOM_BYTES)}{SHARD_SUFFIX}"
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _FILE_MODE)
        shard = _Shard(path=path, descriptor=descriptor, day=day, opened=self._clock())
        try:
            if self._most_seconds is not None:
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            _sync_folder(self._folder)
        except OSError:
            self._give_up(shard)
            raise
        return shard

    def _give_up(self, shard: _Shard) -> None:
        """Leave a file that could not be written to, with the lines that are on disk; if it has none, without the file."""
        with suppress(OSError):  # readers skip a line that is cut
            os.ftruncate(shard.descriptor, shard.size)
        with suppress(OSError):
            os.close(shard.descriptor)
        if shard.size == 0:
            with suppress(OSError):
                shard.path.unlink()
        self._open = None

    def _refuse_link(self) -> None:
        """Raise OSError if the folder is a link: whoever may write to the claim must not lead texts elsewhere, nor what is removed."""
        if self._folder.is_symlink():
            raise OSError(errno.ELOOP, "the folder is a link", str(self._folder))

    def _shards(self) -> Iterator[tuple[int, Path]]:
        """Yield the day, in days since 1970, and the path of each file of rows; files of others are left alone. Raises OSError."""
        self._refuse_link()
        if not self._folder.is_dir():
            return
        for path in sorted(self._folder.glob(f"*{SHARD_SUFFIX}")):
            if (day := day_of_name(path.name)) is not None:
                yield day, path


def day_of_name(name: str) -> int | None:
    """Return the day of a file of rows, in days since 1970; None for another file."""
    found = _NAME.fullmatch(name)
    try:
        return None if found is None else (date.fromisoformat(found[1]) - _EPOCH).days
    except ValueError:  # there is no such day
        return None


def is_over(day: int, *, retention_seconds: int, now: float) -> bool:
    """Whether the rows of a day are no longer kept. day: in days since 1970. now: seconds since 1970."""
    return (day + 1) * DAY_SECONDS < now - retention_seconds - _CLOCKS_DIFFER_SECONDS


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
