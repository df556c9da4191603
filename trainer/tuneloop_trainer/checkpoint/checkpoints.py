"""The checkpoints of a job: what the training loop uses. Every rank calls every method, in the same order."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from tuneloop_trainer.checkpoint import fingerprint as facts_
from tuneloop_trainer.checkpoint.fence import Fence
from tuneloop_trainer.checkpoint.fragments import SavedFragments
from tuneloop_trainer.checkpoint.manifest import Manifest, State, TrainState, order
from tuneloop_trainer.checkpoint.on_all_ranks import on_rank_0, plain_reason, together
from tuneloop_trainer.checkpoint.resume import Damaged, Found, Unreadable, check_files, committed, read_manifest
from tuneloop_trainer.checkpoint.retention import delete, hide, quarantine, quarantined, superfluous, sweep
from tuneloop_trainer.checkpoint.saving import AsyncSave, Snapshot, in_thread
from tuneloop_trainer.engine.process_group import Channel
from tuneloop_trainer.errors import ConfigError, StorageError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from concurrent.futures import Future

    from tuneloop_api.contract.results import SavedStep
    from tuneloop_trainer.engine.engine import Engine

LOG = logging.getLogger(__name__)

Passed = tuple[tuple[str, str], ...]
"""Checkpoints that were passed over: (folder name, what is wrong)."""


class Checkpoints:
    """Saves and finds checkpoints in one folder.

    facts: JSON values that must be the same for a resumed run to be bit-equal; those of engine, machine and versions are added.
    Raises StorageError when the folder cannot be used, or when a later attempt has started.
    """

    def __init__(self, folder: Path, *, engine: Engine, config_hash: str, attempt: int, facts: dict[str, Any]) -> None:
        self._folder, self._engine = folder, engine
        self._config_hash, self._attempt = config_hash, attempt
        self._facts = facts_.collect(engine, facts)
        self._exact = True
        self._fence = Fence(folder, attempt=attempt)
        self._frozen = engine.frozen_digest()  # now: the first save does not have to wait for it
        self._channel = Channel(doing="saving a checkpoint")
        self._snapshot = Snapshot(engine)
        self._manifest: Manifest | None = None
        self._saving: AsyncSave | None = None
        self._deletion: Future[None] | None = None
        self._newest_whole: str | None = None
        self.skipped: Passed = ()
        """Damaged checkpoints that `newest` passed over; `keep` removes them."""
        self.unreadable: Passed = ()
        """Those that it passed over since they could not be read at that moment; they may be whole."""
        on_rank_0(engine, self._start, doing=f"{folder}: cannot be used for checkpoints")

    @property
    def exactness(self) -> Literal["exact", "rounding"]:
        """Whether the steps after `load` are those of an uninterrupted run to the last bit, or within rounding."""
        return "exact" if self._exact else "rounding"

    def newest(self) -> Found | None:
        """Return the newest checkpoint of which every byte is as it was written; None where there is none.

        Raises ConfigError when it was made under another configuration, StorageError when the folder cannot be read, or none is whole
        and one may be: it cannot be read at the moment.
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
        """Fill weights and Adam moments from a checkpoint of any ZeRO stage and world size, to train on from there.

        Returns the state beside them. Raises StorageError when a file cannot be read or does not fit the model.
        """
        self._exact = self._exact and found.manifest.facts == self._facts
        return self._fill(found)

    def find_step(self, step: int) -> Found | None:
        """Return the newest whole checkpoint of one step."""
        return self._of_step(step)[0]

    def load_step(self, step: int) -> TrainState:
        """Fill the weights from the checkpoint of one step, to measure or publish it. Raises StorageError as `load` does."""
        found, damaged, unreadable = self._of_step(step)
        if found is None:
            reasons = _in_words(damaged + unreadable)
            raise StorageError(f"{self._folder}: there is no whole checkpoint of step {step}{reasons}")
        return self._fill(found)

    def begin(self, state: TrainState) -> None:
        """Copy the state and let a thread write it; only the copy is waited for. `finish` comes before the next `begin`."""
        if self._saving is not None:
            raise RuntimeError("the copy of the save before may not be overwritten while it is written")
        self._snapshot.take()
        self._manifest = Manifest(
            step=state.step,
            attempt=self._attempt,
            saved_at=datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
            config_hash=self._config_hash,
            frozen=self._frozen,
            adam_step=self._snapshot.adam_step,
            state=State(data=state.data, best=state.best, early_stop=state.early_stop, extra=state.extra),
            facts=self._facts,
            files=[],
        )
        self.begin_again()

    def begin_again(self) -> None:
        """Let a thread write the copy of the last `begin`, whose `finish` failed, once more."""
        assert self._manifest is not None, "there is a copy"
        self._wait_for_deletion()  # it makes the room
        self._saving = AsyncSave(
            self._channel, self._snapshot.file, self._manifest, folder=self._folder, fence=self._fence
        )

    @property
    def ready(self) -> bool:
        """Whether a save was begun, and `finish` would not have to wait on this rank."""
        return self._saving is not None and not self._saving.waits

    def finish(self) -> SavedStep:
        """Wait until what was begun is committed.

        Raises SaveFailedError, and then leaves the earlier checkpoints as they were; StorageError when a later attempt has started.
        """
        assert self._saving is not None, "a save was begun"
        saving, self._saving = self._saving, None
        saved = saving.finish()
        self._newest_whole = Path(saved.path).name
        return saved

    def save(self, state: TrainState) -> SavedStep:
        """Commit a checkpoint before anything else is done. Raises as `finish` does."""
        self.begin(state)
        return self.finish()

    def quarantine(self, *, before: int) -> list[str]:
        """Let no attempt go on any more from what earlier ones saved at step `before` or later; return the names of all such checkpoints.

        They stay until a later step was saved. Raises StorageError.
        """

        def rename() -> list[str]:
            return quarantine(self._folder, before=before, attempt=self._attempt)

        doing = f"{self._folder}: checkpoints cannot be set aside"
        names: list[str] = on_rank_0(self._engine, rename, doing=doing)
        return names

    def keep(self, *, last: int, best: int, best_steps: Sequence[int]) -> None:
        """Let a thread of rank 0 remove all but the newest `last` checkpoints and the `best` ones; the newest that is whole always stays.

        A checkpoint was read back from the disk before it was committed, so that none is removed for one that cannot be read.
        best_steps: steps with the best results, best first. What cannot be removed is logged, and tried again the next time.
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
            passed = quarantined(self._folder, up_to=newest[1]) if newest else []
            delete(hide(self._folder, [*names, *passed]))

        if self._engine.rank == 0:
            self._wait_for_deletion()
            self._deletion = in_thread(remove_superfluous)

    def close(self) -> None:
        """Wait until what is to be removed is."""
        self._wait_for_deletion()

    def _wait_for_deletion(self) -> None:
        if self._deletion is None:
            return
        deletion, self._deletion = self._deletion, None
        try:
            deletion.result()
        except OSError as error:
            LOG.warning("%s: old checkpoints cannot be removed: %s", self._folder, plain_reason(error))

    def _start(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        self._fence.take()
        sweep(self._folder, attempt=self._attempt)

    def _committed(self) -> list[str]:
        def listed() -> list[str]:
            self._wait_for_deletion()
            return committed(self._folder)

        names: list[str] = on_rank_0(self._engine, listed, doing=f"{self._folder}: checkpoints cannot be listed")
        return names

    def _of_step(self, step: int) -> tuple[Found | None, Passed, Passed]:
        return self._newest_of([name for name in self._committed() if (rank := order(name)) and rank[1] == step])

    def _newest_of(self, names: Sequence[str]) -> tuple[Found | None, Passed, Passed]:
        """Return the first that is whole, and those before it: damaged, unreadable. Each rank checks a part of the files."""
        damaged: Passed = ()
        unreadable: Passed = ()
        for name in names:
            path = self._folder / name
            manifest, problem = None, None
            try:
                manifest = read_manifest(path)
                check_files(path, manifest.files[self._engine.rank :: self._engine.world_size])
            except Damaged as found:
                problem = [isinstance(found, Unreadable), str(found)]
            problems = [told for told in self._engine.exchange(problem) if told is not None]
            if manifest is not None and not problems:
                return Found(path, manifest), damaged, unreadable
            may_be_whole, reason = min(problems, key=itemgetter(0))  # what one rank saw damaged is damaged
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

    def _fill(self, found: Found) -> TrainState:
        masters = self._engine.masters

        def read() -> None:
            saved = SavedFragments(found.path, [file.name for file in found.manifest.files])
            for fragment in masters.to_fill():
                saved.read_into(fragment)
            self._engine.load_buffers(saved.buffers)

        together(self._engine, read, doing=f"checkpoint {found.path} cannot be read")
        masters.step = found.manifest.adam_step
        masters.push()
        return found.manifest.train_state


def _in_words(passed: Passed) -> str:
    return "".join(f"; {name}: {reason}" for name, reason in passed)
