"""What a stage hands on: its result on the claim, which the next stage reads back, and the termination message for the operator."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from pydantic import ValidationError

from tuneloop_api.contract.results import (
    ExportResult,
    ExportSummary,
    PrepareResult,
    PrepareSummary,
    TerminationMessage,
    TrainResult,
    TrainSummary,
)
from tuneloop_api.contract.run_config import ResultReference
from tuneloop_api.contract.termination import fit_termination_message
from tuneloop_api.wire.model import MessageModel
from tuneloop_api.wire.printable import printable
from tuneloop_trainer.durable import replace_durably
from tuneloop_trainer.errors import ConfigError, PreparedDataLostError, StorageError
from tuneloop_trainer.redaction import last_lines, redact

if TYPE_CHECKING:
    from tuneloop_api.contract.run_config import Stage
    from tuneloop_trainer.failures import StageFailure

StageResult = PrepareResult | TrainResult | ExportResult
Result = TypeVar("Result", bound=MessageModel)
RANK_MESSAGE_VARIABLE = "TUNELOOP_RANK_MESSAGE"
"""Environment variable with the file that a rank leaves its termination message in, for the supervisor to read."""


def write_result(result: StageResult, *, stage: Stage, job: Path) -> ResultReference:
    """Write `<job>/<stage>.json` atomically and return where it lies and its SHA-256."""
    data = json.dumps(result.to_wire(), indent=2, ensure_ascii=False).encode() + b"\n"
    path = job / f"{stage}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_durably(path, data)
    return ResultReference(path=str(path), sha256=hashlib.sha256(data).hexdigest())


def read_result(reference: ResultReference | None, kind: type[Result], *, field: str) -> Result:
    """Read an earlier stage's result file, if the file has the SHA-256 that the stage reported. `field`: the reference's name in the RunConfig.

    Raises ConfigError if the RunConfig does not name it, StorageError if it is missing, changed or no result of that kind:
    PreparedDataLostError for that of `prepare`, which can run again.
    """
    if reference is None:
        raise ConfigError(f"run.json: {field}: is missing; this stage needs the path and SHA-256 of that file")
    lost = PreparedDataLostError if kind is PrepareResult else StorageError
    try:
        data = Path(reference.path).read_bytes()
    except OSError as error:
        raise lost(f"{reference.path}: cannot be read: {error.strerror}") from error
    found = hashlib.sha256(data).hexdigest()
    if found != reference.sha256:
        raise lost(
            f"{reference.path}: was changed after its stage ended: its SHA-256 is {found}, {reference.sha256} was reported",
            hint="another job writes to the same folder, or the volume is damaged: run the job under another name",
        )
    try:
        return kind.from_wire(json.loads(data))
    except (ValueError, ValidationError) as error:
        raise lost(f"{reference.path}: is no {kind.__name__} of this version: {error}") from error


def succeeded(result: StageResult | None, *, stage: Stage, reference: ResultReference | None) -> TerminationMessage:
    """Return the message of a stage that came to its end; `result` is None on ranks that have none."""
    return TerminationMessage(
        stage=stage,
        outcome="Succeeded",
        step=result.steps if isinstance(result, TrainResult) else None,
        result=reference,
        prepare=_summary(result, PrepareSummary) if isinstance(result, PrepareResult) else None,
        train=_summary(result, TrainSummary) if isinstance(result, TrainResult) else None,
        export=_summary(result, ExportSummary) if isinstance(result, ExportResult) else None,
    )


def failed(failure: StageFailure, *, stage: Stage, rank: int | None) -> TerminationMessage:
    """Return the message of a stage that did not come to its end, without secrets."""
    preempted = failure.failure_class == "Preempted"
    return TerminationMessage(
        stage=stage,
        outcome="Preempted" if preempted else "Failed",
        failure_class=failure.failure_class,
        message=printable(redact(failure.message)),
        hint=None if failure.hint is None else printable(failure.hint),
        rank=rank,
        step=failure.step or (failure.train.steps if failure.train else None),
        last_lines=last_lines(failure.traceback) or None,
        train=failure.train,
    )


def write_termination_message(message: TerminationMessage, path: Path) -> None:
    """Write the message in place: the kubelet mounts this file, so it cannot be replaced by a rename."""
    path.write_bytes(fit_termination_message(message))


def _summary(result: StageResult, kind: type[Result]) -> Result:
    """Return what the status shows of a result: its fields that the summary has, too."""
    shared = result.model_fields_set & kind.model_fields.keys()
    return kind(**{name: getattr(result, name) for name in shared})
