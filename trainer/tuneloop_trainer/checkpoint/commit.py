"""Commits a checkpoint: its folder gets a manifest and its final name."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from tuneloop_trainer.checkpoint.manifest import MANIFEST, REPLACED, Manifest
from tuneloop_trainer.durable import sync_folder, write_durably

if TYPE_CHECKING:
    from pathlib import Path

    from tuneloop_trainer.checkpoint.fence import Fence


def commit(writing: Path, manifest: Manifest, *, fence: Fence) -> Path:
    """Write the manifest of a checkpoint and rename its folder; from then on `committed` lists it. Returns the new path.

    The caller has fsynced every file of the checkpoint. Raises OSError, and StorageError when a later attempt has started.
    """
    write_durably(writing / MANIFEST, manifest.encode())
    sync_folder(writing)
    fence.check()
    final = writing.with_name(manifest.folder_name)
    old = final.with_name(f"{final.name}{REPLACED}")
    if final.exists():  # this attempt saved this step before; that checkpoint was damaged, or its state has changed
        final.rename(old)
    writing.rename(final)
    sync_folder(final.parent)
    shutil.rmtree(old, ignore_errors=True)  # `sweep` removes at the next start what is left, or gives its name back
    return final
