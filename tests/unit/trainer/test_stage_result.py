"""The summaries in termination messages: what they have in common with the result of the stage is equal."""

from __future__ import annotations

from typing import Any

import pytest

from tuneloop_api.contract.exit_codes import ExitCode
from tuneloop_api.contract.results import (
    DataCounts,
    ExportResult,
    Measured,
    MemoryPlan,
    PrepareResult,
    Resolved,
    SavedStep,
    TrainResult,
)
from tuneloop_api.wire.model import changed
from tuneloop_trainer.failures import StageFailure
from tuneloop_trainer.stage_result import StageResult, failed, succeeded

SAVED = SavedStep(step=3, path="/step-3")
PREPARED = PrepareResult(
    dataset_digest="d", dataset_path="/d", model_path="/m", model_revision="r", model_type="bert",
    counts=DataCounts(rows=9, splits={"train": 9}, bad=0, duplicates=0, truncated=0),
    resolved=Resolved(
        labels=["a", "b"], max_tokens=64, global_batch_size=32, micro_batch_size=16, steps_per_epoch=1, total_steps=1,
        warmup_steps=0, learning_rate=1e-5, precision="fp32", zero_stage=1,
    ),
    report_path="/r", cache_hit=True, memory=MemoryPlan(weights=1, gradients=2, optimizer=3, activations=4, framework=5, total=15),
)  # fmt: skip
TRAINED = TrainResult(
    attempt=2, world_size=4, start_step=1, steps=3, stopped_early=True, last=SAVED, best=SAVED, weights_path="/w", predictions={},
    log_path="/l", resume="rounding", precision="bf16", tokens_per_second=7.0, padding_fraction=0.5, step_seconds=6.0, save_seconds_p95=0.5,
)  # fmt: skip
EXPORTED = ExportResult(
    artifact_path="/a", artifact_uri="pvc://a/b", digest="sha256:0", size_bytes=8, formats=["safetensors"],
    metrics=[Measured(name="accuracy", value=0.5)], baselines=[Measured(name="majority", value=0.25)],
    paired=Measured(name="gain", value=0.25, low=0.1, high=0.4),
)  # fmt: skip
ONLY_IN_RESULTS: dict[str, set[str]] = {
    "prepare": {"version", "datasetPath", "modelPath", "modelType"},
    "train": {"version", "attempt", "weightsPath", "predictions", "logPath", "tokensPerSecond", "paddingFraction", "findings"},
    "export": {"version", "artifactPath"},
}  # fmt: skip


@pytest.mark.parametrize(("stage", "result"), [("prepare", PREPARED), ("train", TRAINED), ("export", EXPORTED)])
def test_the_summary_of_a_result_has_the_values_of_the_result(stage: Any, result: StageResult) -> None:
    summary = succeeded(result, stage=stage, reference=None).to_wire()[stage]
    assert summary == {name: value for name, value in result.to_wire().items() if name not in ONLY_IN_RESULTS[stage]}


def test_a_training_without_findings_says_so() -> None:
    """The operator then ends a condition that an earlier finding has set, also where the last post of progress was lost."""
    healthy = changed(TRAINED, findings=[])
    summary = succeeded(healthy, stage="train", reference=None).train
    assert summary is not None
    assert summary.findings == []


def test_a_rank_without_a_result_sends_no_summary() -> None:
    message = succeeded(None, stage="train", reference=None)
    assert (message.outcome, message.prepare, message.train, message.export) == ("Succeeded", None, None, None)


def test_the_message_of_a_failure_cannot_steer_a_terminal() -> None:
    failure = StageFailure(exit_code=ExitCode.DATA, message="row \x1b[2J\r", hint="rename \u202e")
    message = failed(failure, stage="prepare", rank=None)
    assert (message.message, message.hint) == (r"row \x1b[2J\x0d", r"rename \u202e")
