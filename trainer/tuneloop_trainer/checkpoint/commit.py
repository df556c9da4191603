"""Making a checkpoint exist: from files in a folder that no loader looks at, to a folder with its final name."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from tuneloop_trainer.checkpoint.manifest import DELETING, MANIFEST, Manifest
from tuneloop_trainer.durable import sync_folder, write_durably

if TYPE_CHECKING:
    from pathlib import Path

    from tuneloop_trainer.checkpoint.fence import Fence


def commit(writing: Path, manifest: Manifest, *, fence: Fence) -> Path:
    """Give a written checkpoint its manifest and its name; from then on it is found.

    Every file of it has been fsynced. Raises OSError, and StorageError when a later attempt has started.
    """
    write_durably(writing / MANIFEST, manifest.encode())
    sync_folder(writing)
    fence.check()
    final = writing.with_name(manifest.folder_name)
    old = final.with_name(f"{final.name}{DELETING}")
    if final.exists():  # the same step of the same attempt again: it was damaged, or its state has changed
        final.rename(old)
    writing.rename(final)
    sync_folder(final.parent)
    shutil.rmtree(old, ignore_errors=True)  # what stays is swept at the next start
    return final
