"""What export publishes of a search: the best trial, and beside it the record of all trials."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from tuneloop_api.contract.search import RECORD, trial_folder
from tuneloop_api.contract.trial_settings import trial_settings
from tuneloop_api.wire.model import changed
from tuneloop_trainer.errors import StorageError

if TYPE_CHECKING:
    from tuneloop_api.contract.results import PrepareResult, TrainResult
    from tuneloop_api.contract.run_config import RunConfig
    from tuneloop_api.contract.search import SearchReport, Trial


def of_best_trial(
    config: RunConfig, prepared: PrepareResult, trained: TrainResult, record: SearchReport
) -> tuple[RunConfig, PrepareResult, TrainResult]:
    """Return the inputs of export as if the best trial were the whole job: its settings, its plan, its steps."""
    best = best_trial(record)
    settings = trial_settings(config.settings, best.parameters)
    resolved = trained.resolved or prepared.resolved
    return changed(config, settings=settings), changed(prepared, resolved=resolved), changed(trained, steps=best.steps)


def best_trial(record: SearchReport) -> Trial:
    """Return the trial that is published. Raises StorageError if train.json does not hold it."""
    found = next((trial for trial in record.record if trial.number == record.best), None)
    if found is None:
        raise StorageError(f"train.json: search.best: trial {record.best} is not among the {len(record.record)} trials")
    return found


def in_trial_folder(config: RunConfig, record: SearchReport | None) -> RunConfig:
    """Return the configuration with the folder of the checkpoints: of a search that of its best trial."""
    if record is None:
        return config
    folder = Path(config.paths.job_dir) / trial_folder(best_trial(record).number)
    return changed(config, paths=changed(config.paths, job_dir=str(folder)))


def write_record(folder: Path, record: SearchReport) -> None:
    """Write the trials beside the model: values, evaluations, ends, importance. Times are left out, so that the same search gives the same artifact."""
    wire = record.to_wire()
    wire["record"] = [{name: value for name, value in trial.items() if name != "seconds"} for trial in wire["record"]]
    (folder / RECORD).write_text(json.dumps(wire, indent=1, sort_keys=True, allow_nan=False) + "\n", encoding="utf-8")
