"""What the status keeps of a stage that has succeeded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneloop_api.v1alpha1.fine_tune_job.status import (
    FineTuneJobStatus,
    Lineage,
    Progress,
)
from tuneloop_api.v1alpha1.fine_tune_job.status_results import (
    ArtifactStatus,
    BaselineValue,
    DataStatus,
    EvaluationStatus,
    MetricValue,
)
from tuneloop_operator.state.conditions import with_condition
from tuneloop_operator.status.fine_tune_job.progress import percent, with_checkpoint, with_save_seconds, with_start
from tuneloop_operator.status.fine_tune_job.training_health import with_findings

if TYPE_CHECKING:
    from datetime import datetime

    from tuneloop_api.contract.results import ExportSummary, PrepareSummary, TrainSummary


def with_prepared(status: FineTuneJobStatus, made: PrepareSummary, *, image: str, now: datetime) -> FineTuneJobStatus:
    """Return the status with the data that `prepare` made. `image`: what the runtime says that it ran."""
    counts = made.counts
    digest = image.partition("@")[2]
    memory = {"memory": made.memory.to_wire()} if made.memory else {}
    lineage = {"model_revision": made.model_revision, "data_digest": made.dataset_digest}
    if digest:
        lineage["image_digest"] = digest
    rows = ", ".join(f"{name} {number}" for name, number in counts.splits.items())
    return status.model_copy(
        update={
            # a reference by digest: the later stages run what prepare ran, even if the tag moves
            "image": image if digest else status.image,
            "resolved": (status.resolved or {}) | made.resolved.to_wire() | memory,
            "data": DataStatus(
                rows=counts.rows,
                splits=counts.splits,
                bad=counts.bad,
                digest=made.dataset_digest,
                report=made.report_path,
            ),
            "lineage": (status.lineage or Lineage()).model_copy(update=lineage),
            "progress": (status.progress or Progress()).model_copy(
                update={"percent": percent("prepare", 1.0), "eta": None, "eta_seconds": None}
            ),
            "conditions": with_condition(
                status.conditions,
                "Prepared",
                true=True,
                reason="CacheHit" if made.cache_hit else "DataReady",
                message=f"{counts.rows} rows ({rows})",
                now=now,
            ),
        }
    )


def with_trained(status: FineTuneJobStatus, made: TrainSummary, *, now: datetime) -> FineTuneJobStatus:
    """Return the status with what `train` reached."""
    progress = (status.progress or Progress()).model_copy(
        update={"percent": percent("train", 1.0), "step": made.steps, "eta": None, "eta_seconds": None}
        | ({"loss": made.loss} if made.loss is not None else {})
    )
    rounding = "rounding" in {made.resume, status.resume}
    resolved = (status.resolved or {}) | ({"precision": made.precision} if made.precision else {})
    status = status.model_copy(
        update={
            "progress": progress,
            "resume": "rounding" if rounding else "exact",
            "resolved": resolved or None,
            "conditions": with_findings(list(status.conditions or ()), made.findings, now=now) or None,
        }
    )
    status = with_checkpoint(with_start(status, made.start_step), latest=made.last, best=made.best)
    return with_save_seconds(status, made.save_seconds_p95)


def with_exported(status: FineTuneJobStatus, made: ExportSummary) -> FineTuneJobStatus:
    """Return the status with the published artifact."""
    metrics = [*made.metrics, *([made.paired] if made.paired else [])]
    return status.model_copy(
        update={
            "artifact": ArtifactStatus(
                uri=made.artifact_uri, digest=made.digest, size_bytes=made.size_bytes, formats=made.formats
            ),
            "evaluation": EvaluationStatus(
                metrics=[
                    MetricValue(name=one.name, split=one.split, value=one.value, low=one.low, high=one.high)
                    for one in metrics
                ],
                baselines=[
                    BaselineValue(name=one.name, value=one.value, low=one.low, high=one.high) for one in made.baselines
                ],
            ),
            "progress": (status.progress or Progress()).model_copy(
                update={"percent": "100%", "eta": None, "eta_seconds": None}
            ),
        }
    )
