"""One save: `take` copies, which training waits for; `write` puts the copy on the volume and commits it."""

from __future__ import annotations

import errno
import shutil
from typing import TYPE_CHECKING

from tuneloop_api.results import SavedStep
from tuneloop_trainer.checkpoint.commit import commit, open_writing_folder
from tuneloop_trainer.checkpoint.fragments import RankFile
from tuneloop_trainer.checkpoint.manifest import WRITING, Manifest, SavedFile
from tuneloop_trainer.checkpoint.together import on_rank_0, plain_reason, together
from tuneloop_trainer.errors import StorageError

if TYPE_CHECKING:
    from pathlib import Path

    from tuneloop_trainer.checkpoint.fence import Fence
    from tuneloop_trainer.engine import Engine

_NO_SPACE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


class Snapshot:
    """This rank's part of the newest state, in a buffer that is used again for each save."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._file: RankFile | None = None
        self.adam_step = 0

    def take(self) -> RankFile:
        """Copy masters, moments and (on rank 0) changed buffers."""
        fragments = list(self._engine.masters.fragments())
        buffers = self._engine.changed_buffers() if self._engine.rank == 0 else {}
        if self._file is None or not self._file.fits(fragments, buffers):
            self._file = RankFile(fragments, buffers)
        self._file.refresh(fragments, buffers)
        self.adam_step = self._engine.masters.step
        return self._file


def write(engine: Engine, file: RankFile, manifest: Manifest, *, folder: Path, fence: Fence) -> SavedStep:
    """Write every rank's file and commit. Collective.

    Raises StorageError on all ranks; what was written is removed then, and earlier checkpoints are as they were.
    """
    needed, free = sum(engine.exchange(file.size)), shutil.disk_usage(folder).free
    doing = f"{folder}: the checkpoint of step {manifest.step} cannot be saved"
    writing = folder / f"{manifest.folder_name}{WRITING}"

    def reason(error: OSError) -> str:
        space = f"; it needs {needed:,} bytes, {free:,} were free" if error.errno in _NO_SPACE else ""
        return plain_reason(error) + space

    def write_own() -> object:
        return file.write(writing / f"rank{engine.rank:05d}.safetensors").to_wire()

    def commit_all() -> str:
        return str(commit(writing, manifest.model_copy(update={"files": files}), fence=fence))

    try:
        on_rank_0(engine, lambda: open_writing_folder(writing), doing=doing, reason=reason)
        files = [SavedFile.from_wire(wire) for wire in together(engine, write_own, doing=doing, reason=reason)]
        path = on_rank_0(engine, commit_all, doing=doing, reason=reason)
    except StorageError:
        if engine.rank == 0:
            shutil.rmtree(writing, ignore_errors=True)
        raise
    return SavedStep(step=manifest.step, path=path, time=manifest.saved_at)
