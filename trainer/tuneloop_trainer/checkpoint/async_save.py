"""One save in two parts: `Snapshot.take` copies the state while training waits; `AsyncSave` writes and commits the copy in a thread."""

from __future__ import annotations

import errno
import shutil
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

from tuneloop_api.contract.results import SavedStep
from tuneloop_api.wire.model import MessageModel, changed
from tuneloop_trainer.checkpoint.commit import commit
from tuneloop_trainer.checkpoint.manifest import WRITING, Manifest, SavedFile
from tuneloop_trainer.checkpoint.on_all_ranks import Ranks, on_rank_0, plain_reason
from tuneloop_trainer.checkpoint.resume import Damaged, check_files
from tuneloop_trainer.checkpoint.shard_file import ShardFile
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
    """A copy of this rank's part of the state. Its buffer is made once, and used again for every save."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.file = ShardFile(*self._tensors())
        self.adam_step = 0

    def take(self) -> None:
        """Copy master weights, moments and, on rank 0, the buffers that training changed."""
        fragments, buffers = self._tensors()
        if not self.file.fits(fragments, buffers):
            self.file = ShardFile(fragments, buffers)
        self.file.refresh(fragments, buffers)
        self.adam_step = self._engine.master_weights.step

    def _tensors(self) -> tuple[list[Fragment], dict[str, Tensor]]:
        buffers = self._engine.changed_buffers() if self._engine.rank == 0 else {}
        return list(self._engine.master_weights.fragments()), buffers


class ShardResult(MessageModel):
    """How one rank's write of its shard file ended."""

    size: int
    """Bytes of the file."""
    free: int = 0
    """Bytes that were free on the volume before the write."""
    file: SavedFile | None = None
    """The written file; None if the write failed."""
    problem: str | None = None
    """Why the write failed."""
    full: bool = False
    """The volume had no space for the file."""


def writing_folder(folder: Path, manifest: Manifest) -> Path:
    """Return the folder in which the files of a checkpoint are written until it is committed; no loader reads from it."""
    return folder / f"{manifest.folder_name}{WRITING}"


def write_shard(file: ShardFile, folder: Path, *, rank: int) -> ShardResult:
    """Write this rank's shard file durably, and read it back from the disk. It runs in a thread, and reads nothing but the copy."""
    free = 0
    try:
        folder.mkdir(exist_ok=True)
        free = shutil.disk_usage(folder).free
        saved = file.write(folder / f"rank{rank:05d}.safetensors")
        check_files(folder, [saved])
    except OSError as error:
        return ShardResult(size=file.size, free=free, problem=plain_reason(error), full=error.errno in _NO_SPACE)
    except Damaged as found:
        return ShardResult(size=file.size, free=free, problem=f"read back right after it was written, {found}")
    return ShardResult(size=file.size, free=free, file=saved)


class AsyncSave:
    """A save that runs in a thread of every rank while training goes on: all ranks write their shard files, then rank 0 commits.

    The threads exchange values over a channel of their own, so that no step of training waits for them.
    """

    def __init__(self, channel: Ranks, file: ShardFile, manifest: Manifest, *, folder: Path, fence: Fence) -> None:
        self._channel, self._file, self._manifest, self._fence = channel, file, manifest, fence
        self._writing = writing_folder(folder, manifest)
        self._doing = f"{folder}: the checkpoint of step {manifest.step} cannot be saved"
        self._thread = in_thread(self._run)

    @property
    def done(self) -> bool:
        """Whether `finish` returns at once on this rank."""
        return self._thread.done()

    def finish(self) -> SavedStep:
        """Wait until the checkpoint is committed.

        Raises SaveFailedError on all ranks: the files of this save were removed, and earlier checkpoints are as they were. Raises
        StorageError on all ranks when a later attempt has started.
        """
        return self._thread.result()

    def _run(self) -> SavedStep:
        own = write_shard(self._file, self._writing, rank=self._channel.rank)
        shards = [ShardResult.from_wire(wire) for wire in self._channel.exchange(own.to_wire())]
        try:
            path = on_rank_0(
                self._channel,
                lambda: self._commit(shards),
                doing=self._doing,
                reason=lambda error: _in_words(plain_reason(error), shards, full=error.errno in _NO_SPACE),
            )
        except StorageError as error:
            lost = on_rank_0(self._channel, self._give_up, doing=self._doing)
            if lost is not None:
                raise StorageError(lost) from error
            raise SaveFailedError(error.message) from error
        return SavedStep(step=self._manifest.step, path=path, time=self._manifest.saved_at)

    def _commit(self, shards: list[ShardResult]) -> str:
        failed = next((shard for shard in shards if shard.problem is not None), None)
        if failed is not None:
            raise StorageError(f"{self._doing}: {_in_words(failed.problem, shards, full=failed.full)}")
        files = [shard.file for shard in shards]
        return str(commit(self._writing, changed(self._manifest, files=files), fence=self._fence))

    def _give_up(self) -> str | None:
        shutil.rmtree(self._writing, ignore_errors=True)
        return self._fence.lost()


def _in_words(problem: str | None, shards: list[ShardResult], *, full: bool) -> str:
    needed, free = sum(shard.size for shard in shards), shards[0].free
    return f"{problem}; it needs {needed:,} bytes, {free:,} were free" if full else str(problem)


def in_thread(task: Callable[[], T]) -> Future[T]:
    """Run a task in a thread of its own."""
    threads = ThreadPoolExecutor(1, thread_name_prefix="checkpoint")
    future = threads.submit(task)
    threads.shutdown(wait=False)
    return future
