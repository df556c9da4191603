"""`check` and `plan`: everything that `prepare` finds out before it tokenizes, with nothing left behind."""

from __future__ import annotations

import logging
import math
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tuneloop_api.contract.job_plan import JobPlan, PlannedMemory, PlannedModel, PlannedSpace, Problem
from tuneloop_trainer.data.collect import collect
from tuneloop_trainer.data.folder import bytes_to_write
from tuneloop_trainer.data.plan import resolve
from tuneloop_trainer.data.sources.spool import read_spool
from tuneloop_trainer.data.steps.assign import Assigned, assign
from tuneloop_trainer.data.tokenize import default_max_tokens, wrap
from tuneloop_trainer.dataset.splits import SPLITS
from tuneloop_trainer.errors import StageError
from tuneloop_trainer.models.source import PretrainedModel, open_model
from tuneloop_trainer.preflight.feasible import nearest
from tuneloop_trainer.preflight.memory_plan import memory_plan
from tuneloop_trainer.preflight.preflight import Preflight
from tuneloop_trainer.prepare import locate_sources, refuse_too_long
from tuneloop_trainer.tasks import task_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tuneloop_api.contract.results import Resolved
    from tuneloop_api.contract.run_config import RunConfig
    from tuneloop_trainer.data.collect import LocatedSource
    from tuneloop_trainer.models.trace import ModelShape

LOG = logging.getLogger(__name__)
_SAMPLE = 2000
"""Rows whose length is looked at, at most; spread over the training split."""


@dataclass(frozen=True, kw_only=True)
class _Rows:
    """What reading the rows showed."""

    assigned: Assigned
    max_tokens: int
    sampled: int | None
    """Rows that `max_tokens` was estimated from; None: the spec gives it."""


def check(config: RunConfig) -> None:
    """Open the model, read every row, divide them, plan. Raises what `prepare` would raise."""
    found, refusals = _plan(config)
    for refusal in refusals:
        raise refusal
    LOG.info("model: %s; classes: %s", found.model.type, ", ".join(found.resolved.labels[:20]))


def plan(config: RunConfig) -> JobPlan:
    """Return what `check` finds, with what stands in the way of the job as problems; raises what leaves nothing to plan."""
    found, refusals = _plan(config)
    problems = [Problem(message=refusal.message, hint=refusal.hint) for refusal in refusals]
    return found.model_copy(update={"problems": problems})


def _plan(config: RunConfig) -> tuple[JobPlan, list[StageError]]:
    settings = config.settings
    model = open_model(settings.model, task=task_of(settings), paths=config.paths)
    refuse_too_long(settings.data.max_tokens, model=model)
    sources = locate_sources(config)
    rows = _read(config, sources, model=model)
    counts = {name: len(rows.assigned.indexes(name)) for name in SPLITS}
    resolved = resolve(
        settings,
        labels=rows.assigned.classes,
        max_tokens=rows.max_tokens,
        train_rows=counts["train"],
        architecture=model.architecture,
    )
    preflight = Preflight(config=config, model=model)
    shape = preflight.shape(classes=len(resolved.labels))
    data = bytes_to_write(sources)
    checks: list[Callable[[], object]] = [
        lambda: preflight.require_room(shape, data=data),
        lambda: _look_for_origin(config),
    ]
    if shape is not None:
        checks.append(lambda: preflight.memory(shape, resolved))
    found = JobPlan(
        model=_model(model, shape),
        resolved=resolved,
        sampled=rows.sampled,
        rows=counts,
        nodes=settings.gang.nodes,
        ranks=settings.gang.nodes * settings.gang.processes_per_node,
        memory=None if shape is None else _memory(preflight, shape, resolved),
        space=PlannedSpace(
            needs={need.name: need.size for need in preflight.needs(shape, data=data)}, free=preflight.free()
        ),
    )
    return found, list(_refusals(checks))


def _look_for_origin(config: RunConfig) -> None:
    from tuneloop_trainer.checkpoint.import_checkpoint import find_origin  # noqa: PLC0415  (loads torch)

    find_origin(config)


def _refusals(checks: list[Callable[[], object]]) -> Iterator[StageError]:
    for each in checks:
        try:
            each()
        except StageError as refusal:
            yield refusal


def _model(model: PretrainedModel, shape: ModelShape | None) -> PlannedModel:
    return PlannedModel(
        type=model.model_type,
        revision=model.revision,
        parameters=shape.parameters if shape else None,
        trainable=shape.trainable if shape else None,
    )


def _memory(preflight: Preflight, shape: ModelShape, resolved: Resolved) -> PlannedMemory:
    layout, pod = preflight.layout(resolved), preflight.pod
    rank = memory_plan(shape, layout)
    wanted = [] if pod.holds(rank) else nearest(shape, layout, pod=pod, global_batch=resolved.global_batch_size)
    return PlannedMemory(rank=rank, pod=pod.needs(rank), limit=pod.limit, nearest=wanted)


def _read(config: RunConfig, sources: list[LocatedSource], *, model: PretrainedModel) -> _Rows:
    """Read and divide all rows; where the spec leaves `maxTokens` open, tokenize a sample of them."""
    settings = config.settings
    with tempfile.TemporaryDirectory(prefix="tuneloop-check-") as scratch:
        spool = Path(scratch) / "texts.arrow"
        collected = collect(
            sources, data=settings.data, labels=settings.model.labels, spool=spool, progress=lambda _done: None
        )
        assigned = assign(collected.table, data=settings.data, labels=settings.model.labels)
        if settings.data.max_tokens is not None:
            return _Rows(assigned=assigned, max_tokens=settings.data.max_tokens, sampled=None)
        texts = list(_sample(spool, assigned))
    encoded = wrap(model.tokenizer, vocabulary=model.vocabulary).encode(texts)
    lengths = np.array([len(ids) for ids in encoded], dtype=np.int64)
    return _Rows(
        assigned=assigned, max_tokens=default_max_tokens(lengths, limit=model.max_tokens), sampled=len(lengths)
    )


def _sample(spool: Path, assigned: Assigned) -> Iterator[str]:
    """Yield texts of the training split, evenly spread over it."""
    rows = assigned.indexes("train")
    wanted = set(rows[:: math.ceil(len(rows) / _SAMPLE)].tolist())
    index = 0
    for batch in read_spool(spool):
        yield from (text for place, text in enumerate(batch, start=index) if place in wanted)
        index += len(batch)
