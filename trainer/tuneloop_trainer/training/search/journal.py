"""The record of a search on the claim: `search.json` in the job's folder, replaced whole and durably at each change. Rank 0 alone uses it."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

from pydantic import ValidationError

from tuneloop_api.contract.search import RECORD, TRIALS, Trial, trial_folder
from tuneloop_api.wire.canonical import digest_of
from tuneloop_trainer.checkpoint.fence import Fence
from tuneloop_trainer.durable import make_folder, replace_durably
from tuneloop_trainer.errors import CheckpointLostError, ConfigError, StorageError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


class Journal:
    """The trials of a job in the order of their numbers. identity: of the settings, data and model that all trials share.

    Raises StorageError if a later attempt has started or the record is damaged; OSError.
    """

    def __init__(self, job: Path, *, identity: str, attempt: int) -> None:
        self._job, self._identity = job, identity
        make_folder(job / TRIALS)
        self._fence = Fence(job / TRIALS, attempt=attempt)
        self._fence.take()
        self.found_identity, self.trials = self._read()

    def write(self, trial: Trial) -> None:
        """Add a trial, or replace the one with its number."""
        self._fence.check()
        self.trials = [*(kept for kept in self.trials if kept.number != trial.number), trial]
        wire = {"version": 1, "identity": self._identity, "trials": [found.to_wire() for found in self.trials]}
        content = json.dumps(wire | {"digest": digest_of(wire)}, indent=1, allow_nan=False)
        replace_durably(self._job / RECORD, content.encode() + b"\n")

    def remove_checkpoints(self, numbers: Iterable[int]) -> None:
        """Remove the checkpoints of these trials; their logs stay."""
        for number in numbers:
            shutil.rmtree(self._job / trial_folder(number) / "checkpoints", ignore_errors=True)

    def _read(self) -> tuple[str, list[Trial]]:
        path = self._job / RECORD
        try:
            wire = json.loads(path.read_bytes())
            found = wire.pop("digest")
            trials = [Trial.from_wire(trial) for trial in wire["trials"]]
        except FileNotFoundError:
            return self._identity, []
        except (ValueError, KeyError, TypeError, AttributeError, ValidationError) as error:
            raise StorageError(f"{path}: is not what was written: {error}") from error
        if digest_of(wire) != found:
            raise StorageError(f"{path}: is not what was written: its digest is another one")
        return str(wire["identity"]), trials


def check_record(job: Path, *, found: str, identity: str, is_empty: bool, expected_step: int | None) -> None:
    """Raise ConfigError if the trials on record are of other settings, CheckpointLostError if trials were made and none is on record.

    found: the identity on record. expected_step: the newest step that the operator knows of, counted over all trials; None: of none.
    """
    if found != identity:
        raise ConfigError(
            f"{job / RECORD}: was made with other settings, data or model: its identity is {found}, that of this job is {identity}",
            hint="give the job another name, or set checkpoint.resume: never",
        )
    if is_empty and expected_step is not None:
        raise CheckpointLostError(
            f"{job / RECORD}: a search came to step {expected_step}, and its trials are not found any more",
            hint="put the file and the folder trials/ back; or accept the loss, to begin again at the first trial, "
            'with the annotation tuneloop.dev/accept-lost-checkpoint: "true" on the FineTuneJob',
        )
