"""The run configuration and the plan of one trial."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, cast

from tuneloop_api.contract.search import trial_folder
from tuneloop_api.contract.trial_settings import trial_settings
from tuneloop_api.wire.canonical import digest_of
from tuneloop_api.wire.model import changed
from tuneloop_trainer.data.plan import resolve
from tuneloop_trainer.dataset.shards import read_manifest
from tuneloop_trainer.engine.precision import with_precision_of_gang
from tuneloop_trainer.errors import ConfigError

if TYPE_CHECKING:
    from tuneloop_api.contract.results import PrepareResult
    from tuneloop_api.contract.run_config import RunConfig
    from tuneloop_api.contract.search import Trial
    from tuneloop_trainer.models.source import Architecture


def trial_config(config: RunConfig, trial: Trial, *, steps_before: int) -> RunConfig:
    """Return the configuration of a trial: its settings, an identity and a folder of its own. The seed is that of the job: trials differ by their values alone.

    steps_before: optimizer steps of the trials before, which the operator counts together.
    """
    expected = None if config.expected_step is None else config.expected_step - steps_before
    return changed(
        config,
        settings=trial_settings(config.settings, trial.parameters),
        config_hash=digest_of([config.config_hash, trial.number, trial.parameters])[:16],
        paths=changed(config.paths, job_dir=str(Path(config.paths.job_dir) / trial_folder(trial.number))),
        expected_step=expected if expected is not None and expected > 0 else None,
        resume_before=None,
    )


def trial_plan(config: RunConfig, prepared: PrepareResult) -> PrepareResult:
    """Return the plan of a trial on the data that `prepare` has made. config: of the trial. Raises ConfigError if its values do not go together."""
    if prepared.architecture is None:
        raise ConfigError("prepare.json: architecture: is missing; this job was prepared without its search")
    resolved = resolve(
        config.settings,
        labels=prepared.resolved.labels,
        max_tokens=prepared.resolved.max_tokens,
        train_rows=read_manifest(Path(prepared.dataset_path)).splits["train"].rows,
        architecture=cast("Architecture", prepared.architecture),
    )
    rows = micro_batch_within(resolved.micro_batch_size, most=config.micro_batch_size)
    planned = prepared.resolved
    resolved = changed(resolved, attention=planned.attention, packed=planned.packed, micro_batch_size=rows)
    return with_precision_of_gang(changed(prepared, resolved=resolved), chosen=config.settings.training.precision)


def micro_batch_within(planned: int, *, most: int | None) -> int:
    """Return the largest divisor of the planned micro-batch that is within a limit, so that it divides the global batch, too. most: None: no limit."""
    return next(
        rows for rows in range(planned, 0, -1) if planned % rows == 0 and (most is None or rows <= max(most, 1))
    )
