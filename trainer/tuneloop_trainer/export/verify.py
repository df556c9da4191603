"""Checks an artifact: the manifest against its digest, then every file against the manifest."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from pydantic import ValidationError

from tuneloop_api.contract.artifact import MANIFEST, ArtifactFile, Manifest
from tuneloop_trainer.durable import file_sha256
from tuneloop_trainer.errors import StorageError

if TYPE_CHECKING:
    from pathlib import Path


def verify_artifact(folder: Path, expected_digest: str | None) -> Manifest:
    """Return the manifest of an artifact whose every file is as the manifest says, and which has no other file.

    expected_digest: `sha256:…`, or None to check the files alone. Raises StorageError, naming the file, at the first difference.
    """
    manifest = _read_manifest(folder)
    if expected_digest is not None and manifest.digest() != expected_digest:
        raise StorageError(f"{folder / MANIFEST}: has the digest {manifest.digest()}, {expected_digest} is expected")
    listed = {file.path for file in manifest.files}
    found = {
        path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir() or path.is_symlink()
    }
    for path in sorted(listed ^ (found - {MANIFEST})):
        raise StorageError(f"{folder / path}: {'is missing' if path in listed else 'is not in the manifest'}")
    for file in manifest.files:
        _verify_file(folder / file.path, file)
    return manifest


def describe(path: Path, *, folder: Path) -> ArtifactFile:
    """Return how the manifest lists a file."""
    return ArtifactFile(path=path.relative_to(folder).as_posix(), size=path.stat().st_size, sha256=file_sha256(path))


def _read_manifest(folder: Path) -> Manifest:
    path = folder / MANIFEST
    try:
        return Manifest.from_wire(json.loads(path.read_bytes()))
    except OSError as error:
        raise StorageError(f"{path}: cannot be read: {error.strerror}") from error
    except (ValueError, ValidationError) as error:
        raise StorageError(f"{path}: is no manifest of an artifact: {error}") from error


def _verify_file(path: Path, listed: ArtifactFile) -> None:
    if path.is_symlink():
        raise StorageError(f"{path}: is a link; an artifact holds plain files only")
    size = path.stat().st_size
    if size != listed.size:
        raise StorageError(f"{path}: is damaged: it has {size} bytes, {listed.size} are expected")
    found = file_sha256(path)
    if found != listed.sha256:
        raise StorageError(f"{path}: is damaged: its SHA-256 is {found}, {listed.sha256} is expected")
