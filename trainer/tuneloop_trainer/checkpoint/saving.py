"""One save: `take` copies, which training waits for; a thread writes the copy; `commit_parts` makes what all ranks wrote a checkpoint."""

from __future__ import annotations

import errno
import shutil
from typing import TYPE_CHECKING

from tuneloop_api.model import WireModel
from tuneloop_api.results import SavedStep
from tuneloop_trainer.checkpoint.commit import commit
from tuneloop_trainer.checkpoint.fragments import RankFile
from tuneloop_trainer.checkpoint.manifest import WRITING, Manifest, SavedFile
from tuneloop_trainer.checkpoint.resume import Damaged, check_files
from tuneloop_trainer.checkpoint.together import on_rank_0, plain_reason
from tuneloop_trainer.errors import SaveFailedError, StorageError

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

    from tuneloop_trainer.checkpoint.fence import Fence
    from tuneloop_trainer.engine import Engine
    from tuneloop_trainer.engine_masters import Fragment

_NO_SPACE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


class Snapshot:
    """This rank's part of the newest state, in a buffer that is made and touched once, and used again for each save."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.file = RankFile(*self._tensors())
        self.adam_step = 0

    def take(self) -> None:
        """Copy masters, moments and (on rank 0) changed buffers."""
        fragments, buffers = self._tensors()
        if not self.file.fits(fragments, buffers):
            self.file = RankFile(fragments, buffers)
        self.file.refresh(fragments, buffers)
        self.adam_step = self._engine.masters.step

    def _tensors(self) -> tuple[list[Fragment], dict[str, Tensor]]:
        buffers = self._engine.changed_buffers() if self._engine.rank == 0 else {}
        return list(self._engine.masters.fragments()), buffers


class Part(WireModel):
    """What became of one rank's part of a checkpoint."""

    size: int
    """Bytes to write."""
    free: int = 0
    """Bytes that were free on the volume before."""
    file: SavedFile | None = None
    problem: str | None = None
    """Why there is no file."""
    full: bool = False
    """There was no space for it."""


def writing_folder(folder: Path, manifest: Manifest) -> Path:
    """Return where the files of a checkpoint lie until it is committed; no loader looks there."""
    return folder / f"{manifest.folder_name}{WRITING}"


def write_part(file: RankFile, folder: Path, *, rank: int) -> Part:
    """Write this rank's file, make it durable, and read it back from the disk. Runs in a thread, and touches nothing but the copy."""
    free = 0
    try:
        folder.mkdir(exist_ok=True)
        free = shutil.disk_usage(folder).free
        saved = file.write(folder / f"rank{rank:05d}.safetensors")
        check_files(folder, [saved])
    except OSError as error:
        return Part(size=file.size, free=free, problem=plain_reason(error), full=error.errno in _NO_SPACE)
    except Damaged as found:
        return Part(size=file.size, free=free, problem=f"read back right after it was written, {found}")
    return Part(size=file.size, free=free, file=saved)


def commit_parts(engine: Engine, part: Part, manifest: Manifest, *, folder: Path, fence: Fence) -> SavedStep:
    """Make a checkpoint of what all ranks have written. Collective.

    Raises SaveFailedError on all ranks; what was written is removed then, and earlier checkpoints are as they were. Raises StorageError
    when a later attempt has started.
    """
    parts = [Part.from_wire(told) for told in engine.exchange(part.to_wire())]
    needed, free = sum(each.size for each in parts), parts[0].free
    doing = f"{folder}: the checkpoint of step {manifest.step} cannot be saved"
    writing = writing_folder(folder, manifest)
    failed = next((each for each in parts if each.problem is not None), None)

    def in_words(problem: str | None, *, full: bool) -> str:
        return f"{problem}; it needs {needed:,} bytes, {free:,} were free" if full else str(problem)

    def commit_all() -> str:
        if failed is not None:
            raise StorageError(f"{doing}: {in_words(failed.problem, full=failed.full)}")
        files = [each.file for each in parts]
        return str(commit(writing, manifest.model_copy(update={"files": files}), fence=fence))

    def give_up() -> str | None:
        shutil.rmtree(writing, ignore_errors=True)
        return fence.lost()

    def reason(error: OSError) -> str:
        return in_words(plain_reason(error), full=error.errno in _NO_SPACE)

    try:
        path = on_rank_0(engine, commit_all, doing=doing, reason=reason)
    except StorageError as error:
        lost = on_rank_0(engine, give_up, doing=doing)
        if lost is not None:
            raise StorageError(lost) from error
        raise SaveFailedError(error.message) from error
    return SavedStep(step=manifest.step, path=path, time=manifest.saved_at)
