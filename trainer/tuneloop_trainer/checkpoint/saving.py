"""One save: `Snapshot.take` copies, which training waits for; `Saving` writes the copy and makes what all ranks wrote a checkpoint, in threads."""

from __future__ import annotations

import errno
import shutil
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

from tuneloop_api.contract.results import SavedStep
from tuneloop_api.wire.model import MessageModel
from tuneloop_trainer.checkpoint.commit import commit
from tuneloop_trainer.checkpoint.fragments import ShardFile
from tuneloop_trainer.checkpoint.manifest import WRITING, Manifest, SavedFile
from tuneloop_trainer.checkpoint.on_all_ranks import Ranks, on_rank_0, plain_reason
from tuneloop_trainer.checkpoint.resume import Damaged, check_files
from tuneloop_trainer.errors import SaveFailedError, StorageError

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future
    from pathlib import Path

    from torch import Tensor

    from tuneloop_trainer.checkpoint.fence import Fence
    from tuneloop_trainer.engine.engine import Engine
    from tuneloop_trainer.engine.master_weights import Fragment

T = TypeVar("T")
_NO_SPACE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


class Snapshot:
    """This rank's part of the newest state, in a buffer that is made and touched once, and used again for each save."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.file = ShardFile(*self._tensors())
        self.adam_step = 0

    def take(self) -> None:
        """Copy masters, moments and (on rank 0) changed buffers."""
        fragments, buffers = self._tensors()
        if not self.file.fits(fragments, buffers):
            self.file = ShardFile(fragments, buffers)
        self.file.refresh(fragments, buffers)
        self.adam_step = self._engine.masters.step

    def _tensors(self) -> tuple[list[Fragment], dict[str, Tensor]]:
        buffers = self._engine.changed_buffers() if self._engine.rank == 0 else {}
        return list(self._engine.masters.fragments()), buffers


class Part(MessageModel):
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


def write_part(file: ShardFile, folder: Path, *, rank: int) -> Part:
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


class AsyncSave:
    """One save on its way, in a thread of each rank: all write their parts, then rank 0 makes a checkpoint of them. Training goes on beside it.

    The threads have a channel of their own; no step waits for what they tell each other.
    """

    def __init__(self, channel: Ranks, file: ShardFile, manifest: Manifest, *, folder: Path, fence: Fence) -> None:
        self._channel, self._file, self._manifest, self._fence = channel, file, manifest, fence
        self._writing = writing_folder(folder, manifest)
        self._doing = f"{folder}: the checkpoint of step {manifest.step} cannot be saved"
        self._thread = in_thread(self._run)

    @property
    def waits(self) -> bool:
        """Whether `finish` would have to wait."""
        return not self._thread.done()

    def finish(self) -> SavedStep:
        """Wait for the checkpoint.

        Raises SaveFailedError on all ranks; what was written is removed then, and earlier checkpoints are as they were. Raises StorageError
        on all ranks when a later attempt has started.
        """
        return self._thread.result()

    def _run(self) -> SavedStep:
        part = write_part(self._file, self._writing, rank=self._channel.rank)
        parts = [Part.from_wire(told) for told in self._channel.exchange(part.to_wire())]
        try:
            path = on_rank_0(
                self._channel,
                lambda: self._commit(parts),
                doing=self._doing,
                reason=lambda error: _in_words(plain_reason(error), parts, full=error.errno in _NO_SPACE),
            )
        except StorageError as error:
            lost = on_rank_0(self._channel, self._give_up, doing=self._doing)
            if lost is not None:
                raise StorageError(lost) from error
            raise SaveFailedError(error.message) from error
        return SavedStep(step=self._manifest.step, path=path, time=self._manifest.saved_at)

    def _commit(self, parts: list[Part]) -> str:
        failed = next((each for each in parts if each.problem is not None), None)
        if failed is not None:
            raise StorageError(f"{self._doing}: {_in_words(failed.problem, parts, full=failed.full)}")
        files = [each.file for each in parts]
        return str(commit(self._writing, self._manifest.model_copy(update={"files": files}), fence=self._fence))

    def _give_up(self) -> str | None:
        shutil.rmtree(self._writing, ignore_errors=True)
        return self._fence.lost()


def _in_words(problem: str | None, parts: list[Part], *, full: bool) -> str:
    needed, free = sum(each.size for each in parts), parts[0].free
    return f"{problem}; it needs {needed:,} bytes, {free:,} were free" if full else str(problem)


def in_thread(task: Callable[[], T]) -> Future[T]:
    """Begin a task in a thread of its own."""
    threads = ThreadPoolExecutor(1, thread_name_prefix="checkpoint")
    future = threads.submit(task)
    threads.shutdown(wait=False)
    return future
