"""Fetches the rows of feedback that servers have written to a bucket: many small objects, which never change."""

from __future__ import annotations

import logging
import shutil
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tuneloop_api.contract.feedback_row import MOST_SHARDS, SHARD_SUFFIX
from tuneloop_api.objects.storage import ObjectChangedError, Storage, StorageRefusedError
from tuneloop_trainer.durable import make_folder
from tuneloop_trainer.errors import DataError
from tuneloop_trainer.objects.fetch import PIECE_BYTES, require_room
from tuneloop_trainer.objects.listing import ListingError, listed
from tuneloop_trainer.objects.snapshot import refused

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tuneloop_api.wire.uris import ObjectPath
    from tuneloop_trainer.objects.listing import ListedObject

LOG = logging.getLogger(__name__)
_AT_A_TIME = 8
"""Objects on their way: one alone would mostly wait."""


@contextmanager
def shards_of_bucket(place: ObjectPath, *, what: str, folder: Path, tries: int) -> Iterator[Path]:
    """Fetch the files of rows into `folder`, and remove it at the end. What an earlier try has left there is not fetched again.

    what: the source, for messages. Raises DataError for what a person must change, StorageError for what may pass.
    """
    try:
        storage = Storage(place, tries=tries)
        objects = _shards(storage, place, what=what)
        make_folder(folder)
        missing = [item for item in objects if not _is_there(item, folder)]
        require_room(sum(item.found.size for item in missing), folder)
        LOG.info("fetching %d of %d files of feedback", len(missing), len(objects))
        with ThreadPoolExecutor(_AT_A_TIME) as pool:
            for _ in pool.map(lambda item: _fetch(item, storage, folder), missing):
                pass  # raises what a thread has raised
    except StorageRefusedError as error:
        raise refused(error, what=what, kind=DataError) from error
    yield folder
    shutil.rmtree(folder)


def _shards(storage: Storage, place: ObjectPath, *, what: str) -> list[ListedObject]:
    found = storage.below(place.path, most=MOST_SHARDS)
    if len(found) > MOST_SHARDS:
        raise DataError(
            f"{what}: {place.uri} has more than {MOST_SHARDS:,} objects", hint="set a shorter feedback.retention"
        )
    try:
        return listed(found, below=place.path, wanted=lambda name: "/" not in name and name.endswith(SHARD_SUFFIX))
    except ListingError as error:
        raise DataError(f"{what}: {error}", hint="delete the object: servers write no such name") from error


def _is_there(item: ListedObject, folder: Path) -> bool:
    path = folder / item.name
    return path.exists() and path.stat().st_size == item.found.size


def _fetch(item: ListedObject, storage: Storage, folder: Path) -> None:
    size, part = item.found.size, folder / f"{item.name}.part"
    try:
        with part.open("wb") as file:
            for start in range(0, size, PIECE_BYTES):
                file.write(storage.read(item.found, start=start, end=min(start + PIECE_BYTES, size)))
    except ObjectChangedError:  # a server has removed it, for its retention is over
        LOG.warning("%s: is gone, and is passed over", item.found.path)
        part.unlink()
    else:
        part.rename(folder / item.name)
