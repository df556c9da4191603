"""Makes files of objects: piece by piece, from where an earlier try ended, whole or not at all."""

from __future__ import annotations

import json
import logging
import os
import shutil
import time
from dataclasses import asdict
from typing import TYPE_CHECKING

from tuneloop_trainer.durable import make_folder, replace_durably, sync_folder, sync_tree
from tuneloop_trainer.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from tuneloop_api.objects.storage import RemoteObject, Storage
    from tuneloop_trainer.objects.listing import ListedObject

LOG = logging.getLogger(__name__)
PIECE_BYTES = 8 * 1024 * 1024
_LOG_SECONDS = 10.0


def fetch(objects: Sequence[ListedObject], storage: Storage, *, folder: Path, draft: Path) -> None:
    """Make `folder` of the objects as they were listed. A draft that an earlier try left goes on, if the listing is still the same.

    Raises ObjectChangedError, StorageRefusedError, StorageError if there is no room, OSError.
    """
    content = json.dumps([asdict(item) for item in objects]).encode()
    about = draft.with_suffix(".listing")
    if not about.exists() or about.read_bytes() != content:
        shutil.rmtree(draft, ignore_errors=True)
        make_folder(draft.parent)
        replace_durably(about, content)
    make_folder(draft)
    there = sum(path.stat().st_size for path in draft.rglob("*") if path.is_file())
    require_room(sum(item.found.size for item in objects) - there, draft)
    progress = _progress(objects)
    for item in objects:
        _fetch_object(item.found, storage, path=draft / item.name, progress=progress)
    sync_tree(draft)
    try:
        draft.rename(folder)
    except OSError:
        if not folder.is_dir():  # else another job has made the same folder
            raise
        shutil.rmtree(draft)
    sync_folder(folder.parent)
    about.unlink(missing_ok=True)


def _fetch_object(found: RemoteObject, storage: Storage, *, path: Path, progress: Callable[[int], None]) -> None:
    if path.exists():
        progress(found.size)
        return
    make_folder(path.parent)
    part = path.with_name(f"{path.name}.part")
    with part.open("ab") as file:
        begun = _whole_pieces(file.tell())
        file.truncate(begun)
        progress(begun)
        for start in range(begun, found.size, PIECE_BYTES):
            end = min(start + PIECE_BYTES, found.size)
            file.write(storage.read(found, start=start, end=end))
            file.flush()
            os.fsync(file.fileno())
            progress(end - start)
    part.rename(path)


def _whole_pieces(size: int) -> int:
    """Return how many bytes of a part are sure to be there: its last piece may not have reached the disk."""
    return max(0, size - 1) // PIECE_BYTES * PIECE_BYTES


def require_room(needed: int, folder: Path) -> None:
    """Raise StorageError if a folder has no room for so many bytes."""
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise StorageError(
            f"{folder.parent}: {needed / 2**20:,.0f} MiB are to be fetched, {free / 2**20:,.0f} MiB are free",
            hint="delete what is no longer needed (datasets/, models/, folders of old jobs), or give the claim more",
        )


def _progress(objects: Sequence[ListedObject]) -> Callable[[int], None]:
    """Return a function that counts bytes, and logs them every 10 seconds."""
    total, done, said = sum(item.found.size for item in objects), 0, time.monotonic()
    LOG.info("fetching %d objects, %.1f MiB", len(objects), total / 2**20)

    def progress(size: int) -> None:
        nonlocal done, said
        done += size
        if time.monotonic() - said >= _LOG_SECONDS:
            said = time.monotonic()
            LOG.info("fetched %.1f of %.1f MiB", done / 2**20, total / 2**20)

    return progress
