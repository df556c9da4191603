"""The checkpoints of a job, as the training loop uses them. Every rank calls every method, in the same order."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from tuneloop_trainer.checkpoint.async_save import AsyncSave, Snapshot, in_thread
from tuneloop_trainer.checkpoint.fence import Fence
from tuneloop_trainer.checkpoint.fingerprint import fingerprint_of
from tuneloop_trainer.checkpoint.manifest import Manifest, TrainState, order
from tuneloop_trainer.checkpoint.on_all_ranks import on_all_ranks, on_rank_0, plain_reason
from tuneloop_trainer.checkpoint.resume import Damaged, Found, Unreadable, check_files, committed, read_manifest
from tuneloop_trainer.checkpoint.retention import delete, hide, quarantine, quarantined, superfluous, sweep
from tuneloop_trainer.checkpoint.shard_file import SavedFragments
from tuneloop_trainer.durable import make_folder
from tuneloop_trainer.engine.collectives import Channel
from tuneloop_trainer.errors import ConfigError, StorageError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from concurrent.futures import Future

    from tuneloop_api.contract.results import SavedStep
    from tuneloop_trainer.engine.engine import Engine

LOG = logging.getLogger(__name__)

Skipped = tuple[tuple[str, str], ...]
"""Checkpoints that were skipped: (folder name, reason)."""


class Checkpoints:
    """Saves and finds checkpoints in one folder.

    fingerprint: JSON values that must be equal for a resumed run to be bit-equal; those of engine, machine and packages are added.
    Raises StorageError when the folder cannot be used, or when a later attempt has started.
    """

    def __init__(
        self, folder: Path, *, engine: Engine, config_hash: str, attempt: int, fingerprint: dict[str, Any]
    ) -> None:
        self._folder, self._engine = folder, engine
        self._config_hash, self._attempt = config_hash, attempt
        self._fingerprint = fingerprint_of(engine, fingerprint)
        self._exact = True
        self._fence = Fence(folder, attempt=attempt)
        self._frozen = engine.frozen_digest()  # computed now, so that the first save does not wait for it
        self._channel = Channel(doing="saving a checkpoint")
        self._snapshot = Snapshot(engine)
        self._manifest: Manifest | None = None
        self._save: AsyncSave | None = None
        self._deletion: Future[None] | None = None
        self._newest_whole: str | None = None
        self.skipped: Skipped = ()
        """Damaged checkpoints that `newest` skipped; `keep` removes them."""
        self.unreadable: Skipped = ()
        """Checkpoints that `newest` skipped because they could not be read at that moment; they may be whole."""
        on_rank_0(engine, self._start, doing=f"{folder}: cannot be used for checkpoints")

    @property
    def exactness(self) -> Literal["exact", "rounding"]:
        """Whether the steps after `load` equal those of an uninterrupted run to the last bit, or within rounding."""
        return "exact" if self._exact else "rounding"

    def newest(self) -> Found | None:
        """Return the newest whole checkpoint; None where there is none.

        Raises ConfigError when it was saved under another configuration; StorageError when the folder cannot be read, or when no whole
        checkpoint was found and a checkpoint could not be read at the moment.
        """
        found, self.skipped, self.unreadable = self._newest_of(self._committed())
        if found is None and self.unreadable:
            raise StorageError(
                f"{self._folder}: no whole checkpoint can be read{_in_words(self.unreadable)}",
                hint="see what is wrong with the volume; a checkpoint that stays so may be removed by hand, to go on without it",
            )
        if found is not None:
            self._newest_whole = found.path.name
            self._refuse_others(found)
        return found

    def load(self, found: Found) -> TrainState:
        """Fill weights and Adam moments from a checkpoint of any ZeRO stage and world size, to resume training from it.

        Returns the saved training state. Raises StorageError when a file cannot be read or does not fit the model.
        """
        self._exact = self._exact and found.manifest.fingerprint == self._fingerprint
        self._fill(found)
        return found.manifest.state

    def find_step(self, step: int) -> Found | None:
        """Return the newest whole checkpoint of one step."""
        return self._of_step(step)[0]

    def load_step(self, step: int) -> None:
        """Fill the weights from the checkpoint of one step, to evaluate or publish them. Raises StorageError as `load` does."""
        found, damaged, unreadable = self._of_step(step)
        if found is None:
            reasons = _in_words(damaged + unreadable)
            raise StorageError(f"{self._folder}: there is no whole checkpoint of step {step}{reasons}")
        self._fill(found)

    def begin(self, state: TrainState, *, step: int) -> None:
        """Begin the save of a step: wait for the copy, and let a thread write it. `finish` must come before the next `begin`."""
        if self._save is not None:
            raise RuntimeError("the copy of the save before may not be overwritten while it is written")
        self._snapshot.take()
        self._manifest = Manifest(
            step=step,
            attempt=self._attempt,
            saved_at=datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
            config_hash=self._config_hash,
            frozen=self._frozen,
            adam_step=self._snapshot.adam_step,
            state=state,
            fingerprint=self._fingerprint,
            files=[],
        )
        self.begin_again()

    def begin_again(self) -> None:
        """Let a thread write the copy of the last `begin` once more, after its `finish` has failed."""
        assert self._manifest is not None, "there is a copy"
        self._wait_for_deletion()  # deleting old checkpoints makes room
        self._save = AsyncSave(
            self._channel, self._snapshot.file, self._manifest, folder=self._folder, fence=self._fence
        )

    @property
    def ready(self) -> bool:
        """Whether a save was begun, and `finish` returns at once on this rank."""
        return self._save is not None and self._save.done

    def finish(self) -> SavedStep:
        """Wait until the save that was begun is committed.

        Raises SaveFailedError, which leaves the earlier checkpoints as they were; StorageError when a later attempt has started.
        """
        assert self._save is not None, "a save was begun"
        save, self._save = self._save, None
        saved = save.finish()
        self._newest_whole = Path(saved.path).name
        return saved

    def save(self, state: TrainState, *, step: int) -> SavedStep:
        """Save a step, and wait until its checkpoint is committed. Raises as `finish` does."""
        self.begin(state, step=step)
        return self.finish()

    def quarantine(self, *, before: int) -> list[str]:
        """Quarantine what earlier attempts saved at step `before` or later, so that no attempt resumes from it; return all such names.

        `keep` removes a quarantined checkpoint once a later step was saved. Raises StorageError.
        """

        def rename() -> list[str]:
            return quarantine(self._folder, before=before, attempt=self._attempt)

        doing = f"{self._folder}: checkpoints cannot be quarantined"
        names: list[str] = on_rank_0(self._engine, rename, doing=doing)
        return names

    def keep(self, *, last: int, best: int, best_steps: Sequence[int]) -> None:
        """Let a thread of rank 0 remove old checkpoints: all but the newest `last`, the `best` best, and the newest whole one.

        best_steps: steps with the best results, best first. Every checkpoint was read back from the disk before it was committed, so that
        no checkpoint is removed in favour of an unreadable checkpoint. A removal that fails is logged, and tried again at the next call.
        """

        def remove_superfluous() -> None:
            names = superfluous(
                committed(self._folder),
                last=last,
                best=best,
                best_steps=best_steps,
                newest=self._newest_whole,
                damaged={name for name, _ in self.skipped},
            )
            newest = order(self._newest_whole or "")
            outdated = quarantined(self._folder, up_to=newest[1]) if newest else []
            delete(hide(self._folder, [*names, *outdated]))

        if self._engine.rank == 0:
            self._wait_for_deletion()
            self._deletion = in_thread(remove_superfluous)

    def close(self) -> None:
        """Wait until the removal of old checkpoints has ended."""
        self._wait_for_deletion()

    def release(self) -> None:
        """Free the process group of the saves, after which none can be made. Only for a process that goes on to another run."""
        self._wait_for_deletion()
        self._channel.close()

    def _wait_for_deletion(self) -> None:
        if self._deletion is None:
            return
        deletion, self._deletion = self._deletion, None
        try:
            deletion.result()
        except OSError as error:
            LOG.warning("%s: old checkpoints cannot be removed: %s", self._folder, plain_reason(error))

    def _start(self) -> None:
        make_folder(self._folder)
        self._fence.take()
        sweep(self._folder, attempt=self._attempt)

    def _committed(self) -> list[str]:
        def listed() -> list[str]:
            self._wait_for_deletion()
            return committed(self._folder)

        names: list[str] = on_rank_0(self._engine, listed, doing=f"{self._folder}: checkpoints cannot be listed")
        return names

    def _of_step(self, step: int) -> tuple[Found | None, Skipped, Skipped]:
        return self._newest_of([name for name in self._committed() if (age := order(name)) and age[1] == step])

    def _newest_of(self, names: Sequence[str]) -> tuple[Found | None, Skipped, Skipped]:
        """Return the first whole checkpoint, and the damaged and the unreadable ones before it. Each rank checks a part of the files."""
        damaged: Skipped = ()
        unreadable: Skipped = ()
        for name in names:
            path = self._folder / name
            manifest, problem = None, None
            try:
                manifest = read_manifest(path)
                check_files(path, manifest.files[self._engine.rank :: self._engine.world_size])
            except Damaged as found:
                problem = [isinstance(found, Unreadable), str(found)]
            problems = [answer for answer in self._engine.exchange(problem) if answer is not None]
            if manifest is not None and not problems:
                return Found(path, manifest), damaged, unreadable
            may_be_whole, reason = min(
                problems, key=itemgetter(0)
            )  # a checkpoint that one rank finds damaged is damaged
            if may_be_whole:
                unreadable += ((name, reason),)
            else:
                damaged += ((name, reason),)
        return None, damaged, unreadable

    def _refuse_others(self, found: Found) -> None:
        manifest = found.manifest
        if manifest.config_hash != self._config_hash:
            raise ConfigError(
                f"checkpoint {found.path} was made with other settings: "
                f"its configuration hash is {manifest.config_hash}, this job's is {self._config_hash}",
                hint="set checkpoint.resume: never, or give the job another name; nodes, ranks and ZeRO stage may change freely",
            )
        same_precision = manifest.frozen.split(":")[0] == self._frozen.split(":")[0]
        if same_precision and manifest.frozen != self._frozen:
            raise ConfigError(
                f"checkpoint {found.path} was made on another base model: the digest of the weights that are not trained is "
                f"{manifest.frozen}, here it is {self._frozen}",
                hint="use the same model revision, or set checkpoint.resume: never",
            )

    def _fill(self, found: Found) -> None:
        master_weights = self._engine.master_weights

        def read() -> None:
            saved = SavedFragments(found.path, [file.name for file in found.manifest.files])
            for fragment in master_weights.to_fill():
                saved.read_into(fragment)
            self._engine.load_buffers(saved.buffers)

        on_all_ranks(self._engine, read, doing=f"checkpoint {found.path} cannot be read")
        master_weights.step = found.manifest.adam_step
        master_weights.push()


def _in_words(skipped: Skipped) -> str:
    return "".join(f"; {name}: {reason}" for name, reason in skipped)
