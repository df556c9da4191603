"""What the status keeps of the result of a stage."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from tuneloop_api.contract.champion import ComparisonSummary, SetSummary
from tuneloop_api.contract.results import (
    DataCounts,
    ExportSummary,
    Measured,
    MemoryPlan,
    PrepareSummary,
    Resolved,
    TrainSummary,
)
from tuneloop_api.v1alpha1.common import MOST_IMAGE_CHARACTERS, MOST_SHORT_TEXT_CHARACTERS
from tuneloop_api.v1alpha1.fine_tune_job.status import FineTuneJobStatus, Progress
from tuneloop_api.v1alpha1.fine_tune_job.status_results import ComparisonStatus
from tuneloop_api.wire.model import changed
from tuneloop_operator.status.fine_tune_job.handover import with_exported, with_prepared, with_trained

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(("reported", "shown"), [("fp32", "fp32"), ("bf16", "bf16"), (None, "bf16")])
def test_the_precision_that_was_used_takes_the_place_of_the_planned_one(reported: str | None, shown: str) -> None:
    status = FineTuneJobStatus(resolved={"precision": "bf16", "maxTokens": 64})
    summary = TrainSummary.from_wire(
        {"startStep": 0, "steps": 9, "worldSize": 1} | ({"precision": reported} if reported else {})
    )
    assert with_trained(status, summary, now=NOW).resolved == {"precision": shown, "maxTokens": 64}


PREPARED = PrepareSummary(
    counts=DataCounts(rows=9, splits={"train": 9}, bad=0, duplicates=0, truncated=0),
    resolved=Resolved(
        labels=["a", "b"], max_tokens=64, global_batch_size=32, micro_batch_size=16, steps_per_epoch=1, total_steps=1,
        warmup_steps=0, learning_rate=1e-5, precision="fp32", zero_stage=1,
    ),
    dataset_digest="d", model_revision="r", report_path="p", cache_hit=False,
)  # fmt: skip


def test_the_time_left_of_prepare_is_not_that_of_the_job() -> None:
    status = FineTuneJobStatus(progress=Progress(percent="4%", eta="0s", eta_seconds=0))
    assert with_prepared(status, PREPARED, image="", now=NOW).progress == Progress(percent="5%")


def test_the_memory_plan_stands_with_what_was_chosen() -> None:
    plan = MemoryPlan(weights=1, gradients=2, optimizer=3, activations=4, framework=5, total=15)
    summary = changed(PREPARED, memory=plan)
    resolved = with_prepared(FineTuneJobStatus(), summary, image="", now=NOW).resolved
    assert resolved is not None
    assert resolved["memory"] == plan.to_wire()


def exported(*, metrics: int, paired: bool) -> ExportSummary:
    numbers = [Measured(name=f"metric-{number}", value=0.5) for number in range(metrics)]
    return ExportSummary(
        artifact_uri="pvc://models/a", digest="sha256:0", size_bytes=1, formats=[f"format-{number}" for number in range(9)],
        metrics=numbers, baselines=numbers[:17], paired=Measured(name="gain", value=0.1) if paired else None,
    )  # fmt: skip


@pytest.mark.parametrize("paired", [False, True])
def test_more_results_than_the_status_holds_are_cut_and_the_paired_one_stays(paired: bool) -> None:
    status = with_exported(FineTuneJobStatus(), exported(metrics=65, paired=paired))
    assert status.evaluation is not None
    assert status.artifact is not None
    names = [metric.name for metric in status.evaluation.metrics or ()]
    assert names == [f"metric-{number}" for number in range(64 - paired)] + ["gain"] * paired
    assert len(status.evaluation.baselines or ()) == 16
    assert len(status.artifact.formats or ()) == 8


def test_as_many_results_as_the_status_holds_are_all_kept() -> None:
    status = with_exported(FineTuneJobStatus(), exported(metrics=63, paired=True))
    assert status.evaluation is not None
    assert len(status.evaluation.metrics or ()) == 64


LONGEST, TOO_LONG = "n" * MOST_SHORT_TEXT_CHARACTERS, "n" * (MOST_SHORT_TEXT_CHARACTERS + 1)


def test_a_result_whose_name_is_longer_than_the_status_holds_is_left_out_and_the_rest_stays() -> None:
    results = [
        Measured(name=TOO_LONG, value=0.1),
        Measured(name="accuracy", split=TOO_LONG, value=0.2),
        Measured(name=LONGEST, split=LONGEST, value=0.3),
        *(Measured(name=f"metric-{number}", value=0.5) for number in range(63)),
    ]
    summary = changed(
        exported(metrics=0, paired=False),
        metrics=results,
        baselines=results[:4],
        paired=Measured(name=TOO_LONG, value=0.1),
        formats=[TOO_LONG, "safetensors"],
    )
    status = with_exported(FineTuneJobStatus(), summary)
    assert status.evaluation is not None
    assert status.artifact is not None
    names = [metric.name for metric in status.evaluation.metrics or ()]
    assert names == [LONGEST, *(f"metric-{number}" for number in range(63))]
    assert [baseline.name for baseline in status.evaluation.baselines or ()] == [LONGEST, "metric-0"]
    assert status.artifact.formats == ["safetensors"]


@pytest.mark.parametrize(("name", "shown"), [(LONGEST, {"metric": LONGEST, "value": 0.5}), (TOO_LONG, {})])
def test_a_checkpoint_stays_without_the_metric_whose_name_the_status_does_not_hold(
    name: str, shown: dict[str, Any]
) -> None:
    saved = {"step": 9, "path": "/step-9"}
    summary = TrainSummary.from_wire(
        {"startStep": 0, "steps": 9, "worldSize": 1, "last": saved, "best": saved | {"metric": name, "value": 0.5}}
    )
    checkpoint = with_trained(FineTuneJobStatus(), summary, now=NOW).to_wire()["checkpoint"]
    assert checkpoint == {"latest": saved, "best": saved | shown}


def test_the_longest_image_that_the_spec_allows_stands_in_the_status() -> None:
    digest = "@sha256:" + 16 * "9f2c"
    image = "registry.example.com/" + "a" * (MOST_IMAGE_CHARACTERS - 21 - len(digest)) + digest
    assert with_prepared(FineTuneJobStatus(), PREPARED, image=image, now=NOW).image == image


def test_what_a_person_should_know_of_the_data_stands_in_the_condition() -> None:
    summary = changed(PREPARED, notes=["3 of 12 rows were left out", "labels look alike"])
    (condition,) = with_prepared(FineTuneJobStatus(), summary, image="", now=NOW).conditions or ()
    assert condition.message == "9 rows (train 9)\n3 of 12 rows were left out\nlabels look alike"


def test_the_rehearsal_stands_with_what_was_chosen() -> None:
    done = "trained, saved, exported and loaded this model in 3.1 s"
    summary = changed(PREPARED, rehearsal=done)
    assert (with_prepared(FineTuneJobStatus(), summary, image="", now=NOW).resolved or {})["rehearsal"] == done
    assert "rehearsal" not in (with_prepared(FineTuneJobStatus(), PREPARED, image="", now=NOW).resolved or {})


def compared(**fields: object) -> ComparisonSummary:
    sets = [
        SetSummary(
            name=name, rows=150, champion=0.8, challenger=0.9, low=0.02, high=0.17, discordant=21, verdict=verdict
        )
        for name, verdict in (("golden", "NotInferior"), ("recent", "Better"))
    ]
    whole = ComparisonSummary(
        verdict="Better",
        message="better on 150 recent rows",
        metric="accuracy",
        champion_digest="sha256:0",
        seconds=3.5,
        sets=sets,
    )
    return changed(whole, **fields)


def comparison_of(summary: ComparisonSummary) -> ComparisonStatus | None:
    status = with_exported(FineTuneJobStatus(), changed(exported(metrics=1, paired=False), comparison=summary))
    assert status.evaluation is not None
    return status.evaluation.comparison


def test_the_status_says_how_the_model_stands_beside_the_champion() -> None:
    found = comparison_of(compared())
    assert found is not None
    assert found.to_wire() == compared().to_wire()


@pytest.mark.parametrize(
    ("fields", "shown"),
    [
        pytest.param({"message": "m" * 5000}, {"message": "m" * 4096}, id="a long message is cut"),
        pytest.param({"sets": compared().sets * 3}, {"sets": 4}, id="more sets than the status holds are cut"),
        pytest.param({"metric": TOO_LONG}, None, id="a name that is too long leaves the comparison out"),
    ],
)
def test_a_comparison_fits_into_the_status(fields: dict[str, object], shown: dict[str, object] | None) -> None:
    found = comparison_of(compared(**fields))
    wire = None if found is None else {name: found.to_wire()[name] for name in shown or ()}
    assert wire == shown or {name: len(value) for name, value in (wire or {}).items()} == shown
