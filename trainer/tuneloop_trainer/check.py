"""`check` and `plan`: all that `prepare` finds out before it tokenizes; `plan` rehearses the job on a few rows, too. They leave nothing behind."""

from __future__ import annotations

import logging
import math
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tuneloop_api.contract.job_plan import JobPlan, PlannedMemory, PlannedModel, PlannedSpace, Problem
from tuneloop_api.contract.results import PrepareResult
from tuneloop_api.wire.model import changed
from tuneloop_trainer.data.folder import bytes_to_write
from tuneloop_trainer.data.notes import source_notes
from tuneloop_trainer.data.pipeline import Inputs, encoder_of, notes_of_rows, read_rows, write_sample
from tuneloop_trainer.data.plan import resolve
from tuneloop_trainer.data.row_table import OUT, TRAIN
from tuneloop_trainer.data.tokenize import default_max_tokens
from tuneloop_trainer.dataset.splits import SPLITS
from tuneloop_trainer.errors import DataError, StageError
from tuneloop_trainer.export.champion.artifact import open_champion
from tuneloop_trainer.export.champion.rows import recent_sources
from tuneloop_trainer.methods import method_of
from tuneloop_trainer.models.source import PretrainedModel, open_model
from tuneloop_trainer.preflight.feasible import nearest
from tuneloop_trainer.preflight.memory_plan import memory_plan
from tuneloop_trainer.preflight.preflight import Preflight
from tuneloop_trainer.preflight.searched import planning_settings
from tuneloop_trainer.prepare import inputs_of, locate_sources, refuse_long_targets, refuse_too_long
from tuneloop_trainer.tasks import task_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tuneloop_api.contract.results import Resolved
    from tuneloop_api.contract.run_config import RunConfig
    from tuneloop_api.contract.settings import Settings
    from tuneloop_trainer.data.row_table import RowTable
    from tuneloop_trainer.models.trace import ModelShape
    from tuneloop_trainer.tasks.task import Row

LOG = logging.getLogger(__name__)
_SAMPLE = 2000
"""Rows that are tokenized to estimate `maxTokens`, and windows where long rows are read in these, at most; spread over the training split."""
_REHEARSED = 200
"""Rows of each split that are tokenized for the rehearsal, at most; the rehearsal picks a few of them."""


@dataclass(frozen=True, kw_only=True)
class _Rows:
    """What reading the rows showed."""

    labels: list[str]
    counts: dict[str, int]
    """Rows by split."""
    train_windows: int
    """What epochs and steps count: about as many windows as the training rows have, or these rows where the task has no windows."""
    max_tokens: int
    sampled: int | None
    """Rows that `max_tokens` was estimated from; None: the spec gives it."""


def check(config: RunConfig) -> JobPlan:
    """Open the model, read every row, divide them, plan; return the plan. Raises what `prepare` would raise."""
    found, refusals = _plan(config, rehearses=False)
    for refusal in refusals:
        raise refusal
    LOG.info("model: %s; classes: %s", found.model.type, ", ".join(found.resolved.labels[:20]))
    return found


def plan(config: RunConfig) -> JobPlan:
    """Return the plan, with the reasons why the job could not run as its problems. Raises StageError if there is nothing to plan."""
    found, refusals = _plan(config, rehearses=config.settings.preflight.rehearsal)
    problems = [Problem(message=refusal.message, hint=refusal.hint) for refusal in refusals]
    return changed(found, problems=problems)


def _plan(config: RunConfig, *, rehearses: bool) -> tuple[JobPlan, list[StageError]]:
    with tempfile.TemporaryDirectory(prefix="tuneloop-check-") as scratch:
        return _plan_in(Path(scratch), config, rehearses=rehearses)


def _plan_in(scratch: Path, config: RunConfig, *, rehearses: bool) -> tuple[JobPlan, list[StageError]]:
    settings, *others = planning_settings(config.settings)
    config = changed(config, settings=settings)
    reserved = method_of(settings.method).reserves(settings.method)
    reserved = max([reserved, *(method_of(other.method).reserves(other.method) for other in others)])
    model = open_model(settings.model, task=task_of(settings), paths=config.paths, is_awaited=True, reserved=reserved)
    refuse_too_long(settings.data.max_tokens, model=model)
    refuse_long_targets(task_of(settings), model=model)
    sources = locate_sources(config, snapshots=scratch / "feedback", is_awaited=True)
    inputs = inputs_of(config, sources=sources, model=model)
    read = read_rows(inputs, folder=scratch, part=_silent)
    table = read.table
    rows = _rows(table, inputs)
    resolved = resolve(
        settings,
        labels=rows.labels,
        max_tokens=rows.max_tokens,
        train_rows=rows.train_windows,
        architecture=model.architecture,
    )
    preflight = Preflight(config=config, model=model)
    shape = preflight.shape(labels=resolved.labels)
    resolved = changed(resolved, attention=shape.attention if shape else None)
    data = bytes_to_write(inputs.sources, row_format=inputs.row_format)
    checks: list[Callable[[], object]] = [
        lambda: preflight.require_room(shape, data=data),
        lambda: _require_origin(config),
        lambda: open_champion(config, labels=resolved.labels),
        lambda: recent_sources(config, snapshots=scratch / "feedback", is_awaited=True),
    ]
    if shape is not None:
        checks.append(lambda: preflight.memory(shape, resolved))
    checks += [partial(_check_trials, config, other, model=model, resolved=resolved, rows=rows) for other in others]
    found = JobPlan(
        model=_model(model, shape),
        resolved=resolved,
        sampled=rows.sampled,
        rows=rows.counts,
        notes=[*source_notes(inputs.sources), *notes_of_rows(read)],
        nodes=settings.gang.nodes,
        ranks=settings.gang.nodes * settings.gang.processes_per_node,
        memory=None if shape is None else _memory(preflight, shape, resolved),
        space=PlannedSpace(
            needs={need.name: need.size for need in preflight.needs(shape, data=data)}, free=preflight.free()
        ),
    )
    refusals = list(_refusals(checks))
    if rehearses and not refusals:
        done: list[str] = []
        refusals += _refusals([lambda: done.append(_rehearse(scratch, inputs, table, resolved, shape))])
        found = changed(found, rehearsal=done[0] if done else None)
    return found, refusals


def _rehearse(scratch: Path, inputs: Inputs, table: RowTable, resolved: Resolved, shape: ModelShape | None) -> str:
    """Rehearse the job on the first rows of each split; return in a few words what was done."""
    from tuneloop_trainer.rehearsal.rehearsal import rehearse  # noqa: PLC0415  (loads torch and peft)

    dataset, model, settings = scratch / "dataset", inputs.model, inputs.settings
    dataset.mkdir()
    cut = changed(settings, data=changed(settings.data, max_tokens=resolved.max_tokens))
    try:
        written = write_sample(replace(inputs, settings=cut), _first_rows(table), folder=dataset, part=_silent)
    except DataError as error:
        return f"not rehearsed: {error.message}"  # the first rows are too few; `prepare` looks at all
    prepared = PrepareResult(
        counts=written.counts,
        resolved=resolved,
        dataset_digest=written.digest,
        dataset_path=str(dataset),
        model_path=str(model.path),
        model_revision=model.revision,
        model_type=model.model_type,
        report_path="",
        cache_hit=False,
    )
    return rehearse(settings, prepared, model=model, shape=shape, scratch=scratch / "rehearsal")


def _first_rows(table: RowTable) -> RowTable:
    """Return the table with the first rows of each split; all others are left out."""
    kept = np.concatenate([table.indexes(split)[:_REHEARSED] for split in range(len(SPLITS))])
    splits = np.full_like(table.splits, OUT)
    splits[kept] = table.splits[kept]
    return replace(table, splits=splits)


def _require_origin(config: RunConfig) -> None:
    """Raise ConfigError or StorageError if `checkpoint.resumeFrom` names no checkpoint that can be used."""
    if config.settings.checkpoint.resume_from is None:
        return
    from tuneloop_trainer.checkpoint.import_checkpoint import find_origin  # noqa: PLC0415  (loads torch and DeepSpeed)

    find_origin(config)


def _refusals(checks: list[Callable[[], object]]) -> Iterator[StageError]:
    for require in checks:
        try:
            require()
        except StageError as refusal:
            yield refusal


def _model(model: PretrainedModel, shape: ModelShape | None) -> PlannedModel:
    return PlannedModel(
        type=model.model_type,
        revision=model.revision,
        parameters=shape.parameters if shape else None,
        trainable=shape.trainable if shape else None,
        head=shape.head if shape else None,
    )


def _check_trials(
    config: RunConfig, settings: Settings, *, model: PretrainedModel, resolved: Resolved, rows: _Rows
) -> None:
    """Raise what `prepare` would raise of the largest trial of another method. resolved: the plan of the first method."""
    planned = resolve(
        settings,
        labels=resolved.labels,
        max_tokens=resolved.max_tokens,
        train_rows=rows.train_windows,
        architecture=model.architecture,
    )
    preflight = Preflight(config=changed(config, settings=settings), model=model)
    if (shape := preflight.shape(labels=resolved.labels)) is not None:
        preflight.memory(shape, planned)


def _memory(preflight: Preflight, shape: ModelShape, resolved: Resolved) -> PlannedMemory:
    layout, pod = preflight.layout(resolved), preflight.pod
    rank = memory_plan(shape, layout)
    wanted = [] if pod.holds(rank) else nearest(shape, layout, pod=pod, global_batch=resolved.global_batch_size)
    return PlannedMemory(rank=rank, pod=pod.needs(rank), limit=pod.limit, nearest=wanted)


def _rows(table: RowTable, inputs: Inputs) -> _Rows:
    """Return what the divided rows show; a sample of the training rows is tokenized where `maxTokens` is open, or long rows are read in windows."""
    given, windows = inputs.settings.data.max_tokens, inputs.task.windows
    encoder = encoder_of(inputs, labels=table.labels or [])
    sample = list(_sample(table)) if given is None or windows is not None else []
    encoded = encoder.encode(sample) if sample else []
    lengths = np.array([len(row.input_ids) for row in encoded], dtype=np.int64)
    most = default_max_tokens(lengths, limit=encoder.limit) if given is None else given
    counts = {name: len(table.indexes(split)) for split, name in enumerate(SPLITS)}
    found = len(encoded) if windows is None else sum(len(windows(row, most)) for row in encoded)
    return _Rows(
        labels=table.labels or [],
        counts=counts,
        train_windows=round(counts["train"] * found / len(encoded)) if found else counts["train"],
        max_tokens=most,
        sampled=len(lengths) if given is None else None,
    )


@contextmanager
def _silent(_name: str, *, until: float) -> Iterator[Callable[[float], None]]:  # noqa: ARG001  (as PrepareProgress.part)
    yield lambda _done: None


def _sample(table: RowTable) -> Iterator[Row]:
    """Yield rows of the training split, evenly spread over it."""
    rows = table.indexes(TRAIN)
    wanted = set(rows[:: math.ceil(len(rows) / _SAMPLE)].tolist())
    index = 0
    for batch in table.read():
        yield from (row for place, row in enumerate(batch, start=index) if place in wanted)
        index += len(batch)
