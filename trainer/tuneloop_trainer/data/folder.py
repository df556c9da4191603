"""The data set's folder: written under another name, made durable, renamed; whole or absent."""

from __future__ import annotations

import errno
import json
import logging
import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pyarrow.parquet as pq

from tuneloop_trainer.dataset.shards import MANIFEST, TOKENIZER, DatasetManifest, read_manifest
from tuneloop_trainer.durable import file_sha256, sync_folder, sync_tree
from tuneloop_trainer.errors import StorageError
from tuneloop_trainer.failures import errno_of
from tuneloop_trainer.models.files import digest_of_files, tokenizer_files

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from tuneloop_trainer.data.collect import LocatedSource
    from tuneloop_trainer.data.formats.row_format import RowFormat

LOG = logging.getLogger(__name__)
_MAKE_ROOM = "delete what is no longer needed (datasets/, checkpoints of old jobs), or give the claim more"
_ALWAYS = 16 * 1024 * 1024
"""Manifest, report and tokenizer."""


def find_dataset(folder: Path) -> DatasetManifest | None:
    """Return the manifest of a data set that is there and whole; delete a damaged data set and return None."""
    if not folder.is_dir():
        return None
    try:
        manifest = read_manifest(folder)
        _check_contents(folder, manifest)
    except StorageError as error:
        LOG.warning("%s; it is prepared again", error.message)
        shutil.rmtree(folder)
        return None
    return manifest


@contextmanager
def draft_folder(datasets: Path, *, digest: str, uid: str) -> Iterator[Path]:
    """Give a folder to write to, and delete the folder at the end unless it was published. Delete drafts that this job left before, too.

    Raises StorageError if the volume fills up.
    """
    for stale in datasets.glob(f".*.{uid}.draft"):
        shutil.rmtree(stale)
    draft = datasets / f".{digest}.{uid}.draft"
    draft.mkdir(parents=True)
    try:
        yield draft
    except Exception as error:
        if errno_of(error) not in {errno.ENOSPC, errno.EDQUOT}:
            raise
        written = sum(path.stat().st_size for path in draft.rglob("*") if path.is_file())
        raise StorageError(
            f"{datasets}: no space left after {_mib(written)} of prepared data; {_mib(shutil.disk_usage(datasets).free)} are free",
            hint=_MAKE_ROOM,
        ) from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def publish(draft: Path, manifest: DatasetManifest, *, folder: Path) -> None:
    """Write the manifest, make everything durable, and give the folder its name. If another job was faster, that job's folder stays."""
    data = json.dumps(manifest.to_wire(), indent=2, ensure_ascii=False).encode() + b"\n"
    (draft / MANIFEST).write_bytes(data)
    sync_tree(draft)
    try:
        draft.rename(folder)
    except OSError as error:
        if error.errno not in {errno.ENOTEMPTY, errno.EEXIST}:
            raise
    sync_folder(folder.parent)


def bytes_to_write(sources: Sequence[LocatedSource], *, row_format: RowFormat) -> int:
    """Return how much room the prepared data of these sources takes at most."""
    paths = {file.path: file.format for source in sources for file in source.files}
    size = sum(_text_bytes(path) if kind == "parquet" else path.stat().st_size for path, kind in paths.items())
    return row_format.expansion * size + _ALWAYS


def _check_contents(folder: Path, manifest: DatasetManifest) -> None:
    for split in manifest.splits.values():
        digests = {file.file: file.sha256 for file in split.shards} | {file.file: file.sha256 for file in split.texts}
        for name, sha256 in digests.items():
            path = folder / name
            try:
                whole = file_sha256(path) == sha256
            except OSError as error:
                raise StorageError(f"{path}: cannot be read: {error.strerror}") from error
            if not whole:
                raise StorageError(f"{path}: is not what was written")
    if digest_of_files(tokenizer_files(folder / TOKENIZER)) != manifest.tokenizer.files_digest:
        raise StorageError(f"{folder / TOKENIZER}: is not what was written")


def _text_bytes(path: Path) -> int:
    """Return the size of a Parquet file's columns before compression; its own size if it cannot be read (reading says why)."""
    try:
        metadata = pq.read_metadata(path)
    except (OSError, ValueError):
        return path.stat().st_size
    return sum(metadata.row_group(index).total_byte_size for index in range(metadata.num_row_groups))


def _mib(size: int) -> str:
    return f"{size / 2**20:,.0f} MiB"
