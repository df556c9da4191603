"""The files of rows that one process writes, and what it removes of all: append-only, whole lines, a file for each day and each 64 MiB."""

from __future__ import annotations

import errno
import os
import re
import secrets
from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from itertools import groupby
from typing import TYPE_CHECKING

from tuneloop_api.contract.feedback_row import SHARD_SUFFIX
from tuneloop_server.feedback.cohorts import DAY_SECONDS, day_of, written

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
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
    size: int = 0
    """Bytes of whole lines that are on disk."""


class Shards:
    """The rows of a deployment in a folder, as one process writes them. Not for several threads."""

    def __init__(self, folder: Path, *, retention_seconds: int, most_bytes: int = MOST_SHARD_BYTES) -> None:
        """The folder is made at the first write."""
        self._folder = folder
        self._retention_seconds = retention_seconds
        self._most_bytes = most_bytes
        self._open: _Shard | None = None

    def write(self, lines: Iterable[tuple[float, bytes]]) -> None:
        """Write lines, each with its time in seconds since 1970, and sync them. Raises OSError: then some may be written, and all are to be written again."""
        for day, of_day in groupby(lines, key=lambda line: day_of(line[0])):
            self._append(day, b"".join(text for _, text in of_day))

    def remove_old(self, *, now: float) -> int:
        """Remove the files of days that have been over for longer than the retention; return how many. now: seconds since 1970.

        Raises OSError if a file cannot be removed; the others are.
        """
        kept_from = now - self._retention_seconds - _CLOCKS_DIFFER_SECONDS
        old = [path for day, path in self._shards() if (day + 1) * DAY_SECONDS < kept_from]
        failures = []
        for path in old:
            try:
                path.unlink(missing_ok=True)  # all servers remove
            except OSError as error:
                failures.append(error)
        if failures:
            raise failures[0]
        return len(old)

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
        shard = self._open
        if shard is not None and (shard.day != day or (shard.size and shard.size + more > self._most_bytes)):
            self.close()
        if self._open is None:
            self._open = self._new(day)
        return self._open

    def _new(self, day: int) -> _Shard:
        self._refuse_link()
        self._folder.mkdir(mode=_FOLDER_MODE, parents=True, exist_ok=True)
        path = self._folder / f"{written(day)}-{secrets.token_hex(_RANDOM_BYTES)}{SHARD_SUFFIX}"
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _FILE_MODE)
        shard = _Shard(path=path, descriptor=descriptor, day=day)
        try:
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
            if name := _NAME.fullmatch(path.name):
                with suppress(ValueError):  # there is no such day
                    yield (date.fromisoformat(name[1]) - _EPOCH).days, path


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
