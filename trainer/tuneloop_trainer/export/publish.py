"""Puts a finished folder in its place: complete and durable, or not at all."""

from __future__ import annotations

import json
import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tuneloop_api.contract.artifact import MANIFEST, Manifest
from tuneloop_api.contract.exit_codes import ExitCode
from tuneloop_trainer.durable import sync_folder, sync_tree
from tuneloop_trainer.errors import StageError, StorageError
from tuneloop_trainer.export.verify import describe, verify_artifact
from tuneloop_trainer.failures import failure_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tuneloop_api.contract.artifact import ArtifactFile

ARTIFACT, DRAFT, OLD = "artifact", "artifact.tmp", "artifact.old"
READABLE = 0o644
"""safetensors creates files that only their owner may read; the server need not be the same user."""


@contextmanager
def draft(job: Path) -> Iterator[Path]:
    """Give an empty folder to build the artifact in; it never outlives the block, unless `publish` renamed it.

    Raises StorageError where the block could not write: no space left, read-only, damaged.
    """
    folder = job / DRAFT
    try:
        _clear(job)
        folder.mkdir(parents=True)
        yield folder
    except Exception as error:
        failure = failure_of(error)
        if failure.exit_code == ExitCode.STORAGE and not isinstance(error, StageError):
            free = shutil.disk_usage(job).free / 2**20
            message = f"the artifact cannot be written to {job} ({free:.0f} MiB are free): {failure.message}"
            raise StorageError(message, hint=failure.hint) from error
        raise
    finally:
        _clear(job)


def list_files(folder: Path) -> list[ArtifactFile]:
    """Return every file below a folder with its size and SHA-256, by path."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return sorted((describe(path, folder=folder) for path in files), key=lambda file: file.path)


def publish(folder: Path, manifest: Manifest) -> Path:
    """Write the manifest into a draft, make all durable, verify it, and rename it to `artifact`; return that path.

    An earlier artifact is replaced. If it has the same digest, it stays and the draft is dropped, since a server may be reading it.
    """
    text = json.dumps(manifest.to_wire(), indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    (folder / MANIFEST).write_text(text, encoding="utf-8")
    for path in folder.rglob("*"):
        if path.is_file():
            path.chmod(READABLE)
    sync_tree(folder)
    verify_artifact(folder, manifest.digest())
    target, old = folder.with_name(ARTIFACT), folder.with_name(OLD)
    if _is_same(target, manifest):
        return target
    if target.exists():
        target.rename(old)
    folder.rename(target)
    sync_folder(target.parent)
    return target


def _is_same(target: Path, manifest: Manifest) -> bool:
    try:
        verify_artifact(target, manifest.digest())
    except StorageError:
        return False
    return True


def _clear(job: Path) -> None:
    """Remove drafts and replaced artifacts. If a run broke off between the two renames of `publish`, the old artifact gets its name back."""
    artifact, old = job / ARTIFACT, job / OLD
    if old.exists() and not artifact.exists():
        old.rename(artifact)
    for folder in (job / DRAFT, old):
        if folder.exists():
            shutil.rmtree(folder)
