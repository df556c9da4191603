"""What the stages of a job say as they end: termination messages with plausible values, as the trainer writes them."""

from __future__ import annotations

from tuneloop_api.contract.exit_codes import CLASS_OF_EXIT_CODE
from tuneloop_api.contract.results import (
    DataCounts,
    ExportSummary,
    Measured,
    PrepareSummary,
    Resolved,
    SavedStep,
    TerminationMessage,
    TrainSummary,
)
from tuneloop_api.contract.run_config import ResultReference
from tuneloop_api.contract.termination import fit_termination_message
from tuneloop_api.wire.failure_class import FailureClass

TOTAL_STEPS = 100
EXIT_CODE_OF_CLASS = {kind: int(code) for code, kind in CLASS_OF_EXIT_CODE.items()} | {
    FailureClass.OUT_OF_MEMORY_HOST: 137,
    FailureClass.EVICTED: 143,
    FailureClass.NODE_LOST: 143,
    FailureClass.UNKNOWN: 1,
}
"""How a container ends in each class. Of an image that cannot be pulled there is none."""
_FOLDER = "/tuneloop/claims/models"
_PREPARE = PrepareSummary(
    counts=DataCounts(rows=100, splits={"train": 80, "validation": 10, "test": 10}, bad=1, duplicates=2, truncated=3),
    resolved=Resolved(
        labels=["bad", "good"],
        max_tokens=64,
        global_batch_size=32,
        micro_batch_size=8,
        steps_per_epoch=50,
        total_steps=TOTAL_STEPS,
        warmup_steps=6,
        learning_rate=0.0002,
        precision="fp32",
        zero_stage=2,
    ),
    dataset_digest="d1",
    model_revision="r1",
    report_path=f"{_FOLDER}/datasets/d1/report.json",
    cache_hit=False,
)
_EXPORT = ExportSummary(
    artifact_uri="pvc://models/jobs/artifact",
    digest="sha256:" + "b" * 64,
    size_bytes=1000,
    formats=["safetensors"],
    metrics=[Measured(name="accuracy", value=0.9, low=0.8, high=0.95)],
    baselines=[Measured(name="majority", value=0.5)],
)


def saved(step: int) -> SavedStep:
    """Return a committed checkpoint."""
    return SavedStep(step=step, path=f"{_FOLDER}/checkpoints/step-{step}")


def success(stage: str, *, index: int = 0) -> str:
    """Return what a pod says that succeeded. Of a gang, the first one alone says what was made."""
    if index > 0:
        return _text(TerminationMessage(stage=stage, outcome="Succeeded"))
    summaries = {
        "prepare": {"prepare": _PREPARE},
        "train": {
            "train": TrainSummary(
                start_step=0,
                steps=TOTAL_STEPS,
                world_size=1,
                loss=0.5,
                last=saved(TOTAL_STEPS),
                best=saved(TOTAL_STEPS),
            )
        },
        "export": {"export": _EXPORT},
    }
    result = ResultReference(path=f"{_FOLDER}/{stage}.json", sha256="a" * 64)
    return _text(TerminationMessage(stage=stage, outcome="Succeeded", result=result, **summaries[stage]))


def failure(kind: FailureClass, *, stage: str, index: int = 0, saved_step: int | None = None) -> str:
    """Return what a pod says that failed; `saved_step`: of a training pod, its newest checkpoint."""
    if kind is FailureClass.UNKNOWN:
        return "Traceback (most recent call last):\nRuntimeError: nobody knows why"
    train = None
    if saved_step is not None:
        train = TrainSummary(start_step=0, steps=saved_step, world_size=1, last=saved(saved_step))
    return _text(
        TerminationMessage(
            stage=stage,
            outcome="Preempted" if kind is FailureClass.PREEMPTED else "Failed",
            failure_class=kind,
            message=f"a {kind} failure of {stage}",
            rank=index,
            train=train,
        )
    )


def _text(message: TerminationMessage) -> str:
    return fit_termination_message(message).decode()
