"""From a source of the spec to the files that are read: those of its address, or the snapshot that the job takes of feedback or of object storage."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, cast, get_args

from tuneloop_api.contract.feedback_row import FeedbackForm
from tuneloop_api.objects.storage import ALL_TRIES, FEW_TRIES
from tuneloop_api.wire.uris import OBJECT_SCHEMES, feedback_deployment, object_path
from tuneloop_trainer.data.choose_format import choose_format
from tuneloop_trainer.data.collect import LocatedSource
from tuneloop_trainer.data.feedback.snapshot import snapshot_of
from tuneloop_trainer.errors import ConfigError
from tuneloop_trainer.locate import DataFile, files_at, files_of
from tuneloop_trainer.objects.snapshot import snapshot_of_objects
from tuneloop_trainer.tasks import task_of

if TYPE_CHECKING:
    from tuneloop_api.contract.data_settings import SourceSettings
    from tuneloop_api.contract.run_config import RunConfig
    from tuneloop_api.contract.settings import Settings

BEGUN = "RUN"
"""File in the job's folder that names the run which `prepare` began last with `checkpoint.resume: never`."""


def snapshots_of(config: RunConfig) -> Path:
    """Return the folder of the job's snapshots of feedback: `prepare` takes them, and `export` reads them again. Those of object storage lie beside it, in `sources`."""
    return Path(config.paths.job_dir) / "feedback"


def located(
    source: SourceSettings, *, split: int, field: str, config: RunConfig, snapshots: Path, is_awaited: bool = False
) -> LocatedSource:
    """Return a source with its files. field: path in the spec, for messages. snapshots: folder for the rows of feedback that count.
    is_awaited: whether somebody sits and waits, so that a bucket that is not reached is given up soon.

    Raises ConfigError or DataError: what is wrong with the source, and where.
    """
    tries = FEW_TRIES if is_awaited else ALL_TRIES
    if source.uri.startswith(OBJECT_SCHEMES):
        return _in_bucket(source, split=split, field=field, config=config, snapshots=snapshots, tries=tries)
    deployment = feedback_deployment(source.uri)
    if deployment is None:
        files = files_of(source, claims=config.paths.claims, field=field)
        return LocatedSource(field=field, split=split, settings=source, files=files)
    rows = (config.paths.feedback or {}).get(deployment)
    snapshot = snapshot_of(
        None if rows is None else object_path(rows) or Path(rows),
        uri=source.uri,
        field=field,
        split=split,
        cutoff=source.cutoff,
        window=source.window,
        snapshots=snapshots,
        run=_run_of(config),
        tries=tries,
        form=_form_of(config.settings, field=field),
    )
    file = DataFile(path=snapshot.path, format="jsonl", name=source.uri)
    return LocatedSource(field=field, split=split, settings=source, files=[file], feedback=snapshot.facts)


def _in_bucket(
    source: SourceSettings, *, split: int, field: str, config: RunConfig, snapshots: Path, tries: int
) -> LocatedSource:
    found = snapshot_of_objects(
        source.uri,
        field=field,
        snapshots=snapshots.with_name("sources"),
        run=_run_of(config),
        tries=tries if config.stage == "prepare" else 0,
    )
    files = files_at(found.path, source=source, field=field)
    return LocatedSource(field=field, split=split, settings=source, files=files, objects=found.facts)


def _form_of(settings: Settings, *, field: str) -> FeedbackForm:
    """Return the form of the feedback that the job learns from. Raises ConfigError."""
    name = choose_format(settings, task=task_of(settings)).name
    if name not in get_args(FeedbackForm):
        allowed = " and ".join(get_args(FeedbackForm))
        raise ConfigError(
            f"{field}.uri: feedback has no rows of the format {name}, and data.format is that",
            hint=f"feedback has rows of the formats {allowed}",
        )
    return cast("FeedbackForm", name)


def _run_of(config: RunConfig) -> str:
    """Return which run must take snapshots of its own; empty: the first. `prepare` alone is given it, and leaves it in the job's folder for `export`."""
    begun = Path(config.paths.job_dir) / BEGUN
    return config.fresh_run_id or (begun.read_text(encoding="utf-8") if begun.exists() else "")
