"""What a stage leaves behind: its result on the claim, and the termination message for the operator."""

from __future__ import annotations

import hashlib
import json
import os
from typing import TYPE_CHECKING

from tuneloop_api.results import (
    ExportResult,
    ExportSummary,
    PrepareResult,
    PrepareSummary,
    TerminationMessage,
    TrainResult,
    TrainSummary,
    fit_termination_message,
)
from tuneloop_api.run_config import ResultReference

if TYPE_CHECKING:
    from pathlib import Path

    from tuneloop_api.run_config import Stage
    from tuneloop_trainer.failures import Failure

StageResult = PrepareResult | TrainResult | ExportResult


def write_atomically(path: Path, data: bytes) -> None:
    """Replace a file by `data`, durably: a reader sees the old or the new one, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with draft.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make the folder's entries durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_result(result: StageResult, *, stage: Stage, job: Path) -> ResultReference:
    """Write `<job>/<stage>.json` atomically and return where it lies and its SHA-256."""
    data = json.dumps(result.to_wire(), indent=2, ensure_ascii=False).encode() + b"\n"
    path = job / f"{stage}.json"
    write_atomically(path, data)
    return ResultReference(path=str(path), sha256=hashlib.sha256(data).hexdigest())


def succeeded(result: StageResult | None, *, stage: Stage, reference: ResultReference | None) -> TerminationMessage:
    """Return the message of a stage that came to its end; `result` is None on ranks that have none."""
    return TerminationMessage(
        stage=stage,
        outcome="Succeeded",
        step=result.steps if isinstance(result, TrainResult) else None,
        result=reference,
        prepare=_prepare_summary(result) if isinstance(result, PrepareResult) else None,
        train=_train_summary(result) if isinstance(result, TrainResult) else None,
        export=_export_summary(result) if isinstance(result, ExportResult) else None,
    )


def failed(failure: Failure, *, stage: Stage, rank: int | None) -> TerminationMessage:
    """Return the message of a stage that did not come to its end."""
    preempted = failure.failure_class == "Preempted"
    return TerminationMessage(
        stage=stage,
        outcome="Preempted" if preempted else "Failed",
        failure_class=failure.failure_class,
        message=failure.message,
        hint=failure.hint,
        rank=rank,
        step=failure.train.steps if failure.train else None,
        train=failure.train,
    )


def write_termination_message(message: TerminationMessage, path: Path) -> None:
    """Write the message in place: the kubelet mounts this file, so it cannot be replaced by a rename."""
    path.write_bytes(fit_termination_message(message))


def _prepare_summary(result: PrepareResult) -> PrepareSummary:
    return PrepareSummary(
        counts=result.counts,
        resolved=result.resolved,
        dataset_digest=result.dataset_digest,
        model_revision=result.model_revision,
        report_path=result.report_path,
        cache_hit=result.cache_hit,
    )


def _train_summary(result: TrainResult) -> TrainSummary:
    return TrainSummary(
        start_step=result.start_step,
        steps=result.steps,
        world_size=result.world_size,
        stopped_early=result.stopped_early,
        last=result.last,
        best=result.best,
        resume=result.resume,
    )


def _export_summary(result: ExportResult) -> ExportSummary:
    return ExportSummary(
        artifact_uri=result.artifact_uri,
        digest=result.digest,
        size_bytes=result.size_bytes,
        formats=result.formats,
        metrics=result.metrics,
        baselines=result.baselines,
        paired=result.paired,
    )
