"""The first stage: from the spec's sources and model to tokenized splits on the claim and a plan without open values.

The order: find the sources, check the model, name the data set, check the room, prepare the data set unless it is there, plan, rehearse.
"""

from __future__ import annotations

import logging
import shutil
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from tuneloop_api.contract.results import PrepareResult
from tuneloop_api.contract.search import RECORD, TRIALS
from tuneloop_api.wire.model import changed
from tuneloop_trainer.data.choose_format import choose_format
from tuneloop_trainer.data.digest import dataset_digest
from tuneloop_trainer.data.folder import bytes_to_write, find_dataset
from tuneloop_trainer.data.locate_source import BEGUN, located, snapshots_of
from tuneloop_trainer.data.notes import source_notes
from tuneloop_trainer.data.pipeline import STEPS, Inputs, build_dataset
from tuneloop_trainer.data.plan import resolve
from tuneloop_trainer.data.prepare_progress import PrepareProgress
from tuneloop_trainer.data.row_table import TEST, TRAIN, VALIDATION
from tuneloop_trainer.dataset.shards import REPORT, open_split
from tuneloop_trainer.durable import make_folder, replace_durably
from tuneloop_trainer.errors import ConfigError
from tuneloop_trainer.export.champion.preview import notes_on_champion
from tuneloop_trainer.methods import method_of
from tuneloop_trainer.models.source import PretrainedModel, open_model
from tuneloop_trainer.preflight.onnx_preview import notes_on_int8, refuse_too_large_for_onnx
from tuneloop_trainer.preflight.preflight import Preflight
from tuneloop_trainer.preflight.searched import planning_settings
from tuneloop_trainer.tasks import task_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from tuneloop_api.contract.results import MemoryPlan, Resolved
    from tuneloop_api.contract.run_config import RunConfig
    from tuneloop_trainer.data.collect import LocatedSource
    from tuneloop_trainer.dataset.shards import DatasetManifest
    from tuneloop_trainer.models.trace import ModelShape
    from tuneloop_trainer.report import Reporter
    from tuneloop_trainer.tasks.task import Task

LOG = logging.getLogger(__name__)


def prepare(config: RunConfig, reporter: Reporter) -> PrepareResult:
    """Prepare the data and the plan of a job; the same inputs find the data of an earlier run.

    Raises ModelAccessError, DataError, ConfigError, StorageError: what is wrong, where, and what to do.
    """
    progress, points = PrepareProgress(reporter), planning_settings(config.settings)
    with progress.part("finding the sources", until=0.02):
        sources = locate_sources(config, snapshots=snapshots_of(config))
    with progress.part("checking the model", until=0.05):
        model = open_model(
            config.settings.model,
            task=task_of(config.settings),
            paths=config.paths,
            reserved=max(method_of(point.method).reserves(point.method) for point in points),
        )
        refuse_too_long(config.settings.data.max_tokens, model=model)
        refuse_long_targets(task_of(config.settings), model=model)
    for note in source_notes(sources):
        LOG.info("data: %s", note)
    inputs = inputs_of(config, sources=sources, model=model)
    with progress.part("reading the sources' contents", until=0.1) as done:
        folder = Path(config.paths.datasets) / _digest(inputs, progress=done)
        found = find_dataset(folder)
    if found is not None:
        LOG.info("data: prepared already, nothing to do: %s", folder)
    preflights = [Preflight(config=changed(config, settings=point), model=model) for point in points]
    with progress.part("checking the room on the claim", until=0.12):
        data = 0 if found else bytes_to_write(inputs.sources, row_format=inputs.row_format)
        for preflight in preflights:
            preflight.require_room(preflight.shape(), data=data)
    if config.settings.checkpoint.resume_from is not None:
        with progress.part("bringing in the checkpoint to go on from", until=0.15):
            _import_checkpoint(config, dataset_digest=folder.name, model_revision=model.revision)
    manifest = found or build_dataset(inputs, folder=folder, uid=config.job.uid, progress=progress)
    plans = [_planned(preflight, folder, manifest=manifest) for preflight in preflights]
    largest = max(plans, key=lambda plan: plan.memory.total if plan.memory else 0)
    resolved, memory = largest.resolved, largest.memory
    notes = notes_on_champion(config, folder, labels=resolved.labels)
    LOG.info("plan: %s", resolved.to_wire())
    LOG.info("memory of a rank: %s", memory.to_wire() if memory else "not known")
    result = PrepareResult(
        dataset_digest=folder.name,
        dataset_path=str(folder),
        model_path=str(model.path),
        model_revision=model.revision,
        model_type=model.model_type,
        architecture=model.architecture if config.settings.search else None,
        counts=manifest.counts,
        resolved=resolved,
        report_path=str(folder / REPORT),
        cache_hit=found is not None,
        memory=memory,
        notes=[
            *source_notes(sources),
            *manifest.notes,
            *notes_on_int8(manifest.counts.splits, config.settings.output),
            *notes,
        ]
        or None,
    )
    result = _with_packing(config, result, shape=largest.shape)
    if config.settings.preflight.rehearsal:
        with progress.part("rehearsing the training and the export", until=1.0):
            result = changed(result, rehearsal=_rehearsed(plans, result, model=model))
    if config.fresh_run_id is not None:
        _forget_checkpoints(Path(config.paths.job_dir), run=config.fresh_run_id)
    reporter.post(detail="prepared", fraction=1.0, eta_seconds=0)
    return result


def inputs_of(config: RunConfig, *, sources: list[LocatedSource], model: PretrainedModel) -> Inputs:
    """Return what the data set is made of. Raises ConfigError or DataError if no row format fits."""
    task = task_of(config.settings)
    row_format = choose_format(config.settings, task=task)
    return Inputs(settings=config.settings, sources=sources, model=model, task=task, row_format=row_format)


def locate_sources(config: RunConfig, *, snapshots: Path, is_awaited: bool = False) -> list[LocatedSource]:
    """Find the files of all sources: train, validation, test. snapshots, is_awaited: as in `located`."""
    data = config.settings.data
    given = ((TRAIN, "train", data.train), (VALIDATION, "validation", data.validation), (TEST, "test", data.test))
    return [
        located(
            source,
            split=split,
            field=f"data.{name}[{index}]",
            config=config,
            snapshots=snapshots,
            is_awaited=is_awaited,
        )
        for split, name, sources in given
        for index, source in enumerate(sources or ())
    ]


@dataclass(frozen=True, kw_only=True)
class _Plan:
    """A job, or the largest trial of a method in a search."""

    preflight: Preflight
    resolved: Resolved
    shape: ModelShape | None
    memory: MemoryPlan | None


def _planned(preflight: Preflight, folder: Path, *, manifest: DatasetManifest) -> _Plan:
    """Choose what the settings leave open. Raises ConfigError where they cannot work on this model or machine."""
    settings, model = preflight.settings, preflight.model
    resolved = resolve(
        settings,
        labels=manifest.labels,
        max_tokens=manifest.max_tokens,
        train_rows=manifest.splits["train"].rows,
        architecture=model.architecture,
    )
    shape = preflight.shape(labels=resolved.labels)
    resolved = changed(resolved, attention=shape.attention if shape else None)
    target_tokens = open_split(folder, "train").longest_sequence
    memory = preflight.memory(shape, resolved, target_tokens=target_tokens) if shape else None
    if shape:
        LOG.info("head: %s", shape.head)
        refuse_too_large_for_onnx(shape.parameters, settings.output)
    return _Plan(preflight=preflight, resolved=resolved, shape=shape, memory=memory)


def _rehearsed(plans: list[_Plan], result: PrepareResult, *, model: PretrainedModel) -> str:
    """Rehearse every plan, once for the same inputs; return in a few words what was done."""
    from tuneloop_trainer.rehearsal.rehearsal import rehearse  # noqa: PLC0415  (loads torch and peft)
    from tuneloop_trainer.rehearsal.remembered import remembered  # noqa: PLC0415

    done = []
    for number, plan in enumerate(plans):
        settings, planned = plan.preflight.settings, changed(result, resolved=plan.resolved)
        job = Path(plan.preflight.config.paths.job_dir)
        file = job / (f"rehearsal-{number}.json" if number else "rehearsal.json")
        run = partial(rehearse, settings, planned, model=model, shape=plan.shape, scratch=job / "rehearsal.tmp")
        text = remembered(file, settings, planned, rehearse=run)
        done.append(text if len(plans) == 1 else f"{settings.method.type}: {text}")
    return "; ".join(done)


def _with_packing(config: RunConfig, result: PrepareResult, *, shape: ModelShape | None) -> PrepareResult:
    """Return the result with the answer whether rows are packed, and a note where the model cannot read them. Raises ConfigError if they must be packed, and cannot."""
    if task_of(config.settings).packing is None or config.settings.data.packing == "never":
        return result
    from tuneloop_trainer.rehearsal.packing_check import check_packing  # noqa: PLC0415  (loads torch)

    found = check_packing(config.settings, result, shape=shape, scratch=Path(config.paths.job_dir) / "packing.tmp")
    if found.note is not None:
        LOG.warning("data: %s", found.note)
    notes = [*(result.notes or ()), *([found.note] if found.note else ())]
    return changed(result, resolved=changed(result.resolved, packed=found.passes), notes=notes or None)


def _forget_checkpoints(job: Path, *, run: str) -> None:
    """Remove the checkpoints of earlier runs, once: this run may prepare its data a second time, when it has checkpoints of its own."""
    begun = job / BEGUN
    if begun.exists() and begun.read_text(encoding="utf-8") == run:
        return
    (job / RECORD).unlink(missing_ok=True)
    for folder in (job / "checkpoints", job / TRIALS):
        if folder.exists():
            shutil.rmtree(folder)
            LOG.info("checkpoints of an earlier run are removed: %s", folder)
    make_folder(job)
    replace_durably(begun, run.encode())


def _import_checkpoint(config: RunConfig, *, dataset_digest: str, model_revision: str) -> None:
    from tuneloop_trainer.checkpoint.import_checkpoint import import_checkpoint  # noqa: PLC0415  (loads torch)
    from tuneloop_trainer.checkpoint.manifest import run_identity  # noqa: PLC0415

    identity = run_identity(config.config_hash, dataset_digest=dataset_digest, model_revision=model_revision)
    import_checkpoint(config, identity=identity)


def _digest(inputs: Inputs, *, progress: Callable[[float], None]) -> str:
    model = inputs.model
    return dataset_digest(
        inputs.sources,
        settings=inputs.settings,
        steps=STEPS,
        tokenizer_digest=model.tokenizer_digest,
        limit=model.max_tokens,
        progress=progress,
    )


def refuse_too_long(max_tokens: int | None, *, model: PretrainedModel) -> None:
    """Raise ConfigError if the model cannot read texts of this many tokens."""
    if max_tokens is not None and model.max_tokens is not None and max_tokens > model.max_tokens:
        raise ConfigError(
            f"data.maxTokens: {max_tokens} is more than the model can read: {model.max_tokens} tokens",
            hint=f"set it to at most {model.max_tokens}, or leave it out",
        )


def refuse_long_targets(task: Task, *, model: PretrainedModel) -> None:
    """Raise ConfigError if the task allows targets longer than the model can make."""
    longest, generation = model.longest_target, task.generation
    if generation is not None and longest is not None and generation.max_tokens > longest:
        raise ConfigError(
            f"taskOptions.maxTargetTokens: {generation.max_tokens} is more than the model can make: {longest} tokens",
            hint=f"set it to at most {longest}",
        )
