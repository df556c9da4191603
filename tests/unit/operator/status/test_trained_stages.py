"""What later stages and people read of a stage that has succeeded."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from tuneloop_api.contract.results import DataCounts, PrepareSummary, Resolved, TrainSummary
from tuneloop_api.v1alpha1.fine_tune_job.status import FineTuneJobStatus
from tuneloop_operator.status.fine_tune_job.handover import with_prepared, with_trained

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
DIGEST = "registry/trainer@sha256:" + "c" * 64
PREPARED = PrepareSummary(
    counts=DataCounts(rows=9, splits={"train": 9}, bad=0, duplicates=0, truncated=0),
    resolved=Resolved(
        labels=["a", "b"], max_tokens=64, global_batch_size=32, micro_batch_size=16, steps_per_epoch=1, total_steps=1,
        warmup_steps=0, learning_rate=1e-5, precision="fp32", stage=1,
    ),
    dataset_digest="d", model_revision="r", report_path="p", cache_hit=False,
)  # fmt: skip


@pytest.mark.parametrize(
    ("before", "made", "kept"),
    [
        (None, None, "exact"),
        (None, "exact", "exact"),
        (None, "rounding", "rounding"),
        ("rounding", None, "rounding"),
        ("rounding", "exact", "rounding"),
        ("exact", "rounding", "rounding"),
    ],
)
def test_a_run_that_was_resumed_with_rounding_once_is_never_called_exact_again(
    before: str | None, made: str | None, kept: str
) -> None:
    summary = {"startStep": 0, "steps": 9, "worldSize": 1} | ({"resume": made} if made else {})
    status = FineTuneJobStatus.from_wire({"resume": before} if before else {})
    assert with_trained(status, TrainSummary.from_wire(summary), now=NOW).resume == kept


@pytest.mark.parametrize(
    ("image", "kept", "digest"),
    [
        pytest.param(DIGEST, DIGEST, "sha256:" + "c" * 64, id="the runtime names a digest"),
        pytest.param("trainer:1", "trainer:latest", None, id="it names a tag alone"),
        pytest.param("", "trainer:latest", None, id="it names nothing"),
    ],
)
def test_later_stages_run_the_image_that_prepare_ran(image: str, kept: str, digest: str | None) -> None:
    status = with_prepared(FineTuneJobStatus(image="trainer:latest"), PREPARED, image=image, now=NOW)
    assert status.image == kept
    assert status.lineage is not None
    assert status.lineage.image_digest == digest
