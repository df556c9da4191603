"""Lists checkpoints and checks that their files are as they were written."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import PurePath
from typing import TYPE_CHECKING

from tuneloop_trainer.checkpoint.manifest import MANIFEST, Manifest, SavedFile, order
from tuneloop_trainer.contained import lies_in

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_CHUNK = 8 << 20


@dataclass(frozen=True)
class Found:
    """A whole checkpoint: the digest of every file was checked."""

    path: Path
    manifest: Manifest

    @property
    def step(self) -> int:
        """Optimizer steps that were made before the checkpoint was saved."""
        return self.manifest.step


class Damaged(Exception):  # noqa: N818  (a finding; it never leaves this package)
    """A file of a checkpoint is missing or differs from what was committed."""


class Unreadable(Damaged):
    """The storage failed while a checkpoint was read. The checkpoint may be whole, and another try may succeed."""


def committed(folder: Path) -> list[str]:
    """Return the names of committed checkpoints, newest first; their files are not checked. Raises OSError."""
    found = [(age, path.name) for path in folder.iterdir() if (age := order(path.name)) is not None]
    return [name for _, name in sorted(found, reverse=True)]


def read_manifest(folder: Path) -> Manifest:
    """Return the manifest of a checkpoint. Raises Damaged, Unreadable."""
    try:
        manifest = Manifest.decode((folder / MANIFEST).read_bytes())
    except OSError as error:
        raise _unread(MANIFEST, error) from error
    except (ValueError, RecursionError) as error:
        raise Damaged(f"{MANIFEST} is not what was written") from error
    if manifest.folder_name != folder.name:
        raise Damaged(f"{MANIFEST} belongs to {manifest.folder_name}")
    return manifest


def check_files(folder: Path, files: Sequence[SavedFile]) -> None:
    """Raise Damaged when a file has another size or SHA-256 than its manifest says, or lies elsewhere; Unreadable when it cannot be read."""
    for file in files:
        if file.name != PurePath(file.name).name:
            raise Damaged(f"{file.name} lies outside of the checkpoint")
        try:
            size, digest = _size_and_digest(folder / file.name)
        except OSError as error:
            raise _unread(file.name, error) from error
        if size != file.size:
            raise Damaged(f"{file.name} has {size} bytes, {file.size} were written")
        if digest != file.sha256:
            raise Damaged(f"{file.name} has another SHA-256 than what was written")
        if not lies_in(folder / file.name, folder):
            raise Damaged(f"{file.name} lies outside of the checkpoint")


def _unread(name: str, error: OSError) -> Damaged:
    if isinstance(error, FileNotFoundError):
        return Damaged(f"{name} is missing")
    kind = Damaged if isinstance(error, NotADirectoryError | IsADirectoryError) else Unreadable
    return kind(f"{name} cannot be read: {error.strerror or error}")


def _size_and_digest(path: Path) -> tuple[int, str]:
    digest = hashlib.sha256()
    size = 0
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
            size += len(chunk)
    return size, digest.hexdigest()
