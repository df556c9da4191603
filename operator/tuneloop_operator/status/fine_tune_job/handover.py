"""What the status keeps of the result of a stage."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tuneloop_api.v1alpha1.fine_tune_job.status import (
    FineTuneJobStatus,
    Lineage,
    Progress,
)
from tuneloop_api.v1alpha1.fine_tune_job.status_results import (
    MOST_BASELINES,
    MOST_FORMATS,
    MOST_METRICS,
    MOST_SETS,
    ArtifactStatus,
    BaselineValue,
    ComparisonStatus,
    DataStatus,
    EvaluationStatus,
    MetricValue,
)
from tuneloop_api.wire.model import changed
from tuneloop_operator.state.conditions import with_condition
from tuneloop_operator.status.fine_tune_job.progress import (
    is_short,
    percent,
    with_checkpoint,
    with_save_seconds,
    with_start,
)
from tuneloop_operator.status.fine_tune_job.search import with_search
from tuneloop_operator.status.fine_tune_job.training_health import MOST_TEXT, with_findings

if TYPE_CHECKING:
    from datetime import datetime

    from tuneloop_api.contract.champion import ComparisonSummary
    from tuneloop_api.contract.results import ExportSummary, Measured, PrepareSummary, TrainSummary


def with_prepared(
    status: FineTuneJobStatus, summary: PrepareSummary, *, image: str, now: datetime
) -> FineTuneJobStatus:
    """Return the status with the result of `prepare`. image: the reference that the runtime reports for its pod."""
    counts = summary.counts
    digest = image.partition("@")[2]
    memory = {"memory": summary.memory.to_wire()} if summary.memory else {}
    rehearsal = {"rehearsal": summary.rehearsal[:MOST_TEXT]} if summary.rehearsal else {}
    rows = ", ".join(f"{name} {number}" for name, number in counts.splits.items())
    return changed(
        status,
        # a reference by digest: the later stages run the image of `prepare`, even if the tag moves
        image=image if digest else status.image,
        resolved=(status.resolved or {}) | summary.resolved.to_wire() | memory | rehearsal,
        data=DataStatus(
            rows=counts.rows,
            splits=counts.splits,
            bad=counts.bad,
            digest=summary.dataset_digest,
            report=summary.report_path,
        ),
        lineage=_lineage(status.lineage or Lineage(), summary, image_digest=digest),
        progress=_progress(status, percent=percent("prepare", 1.0)),
        conditions=with_condition(
            status.conditions,
            "Prepared",
            true=True,
            reason="CacheHit" if summary.cache_hit else "DataReady",
            message="\n".join([f"{counts.rows} rows ({rows})", *(summary.notes or ())])[:MOST_TEXT],
            now=now,
        ),
    )


def with_trained(status: FineTuneJobStatus, summary: TrainSummary, *, now: datetime) -> FineTuneJobStatus:
    """Return the status with the result of `train`."""
    loss = {} if summary.loss is None else {"loss": summary.loss}
    is_rounding = "rounding" in {summary.resume, status.resume}
    of_best_trial = summary.resolved.to_wire() if summary.resolved else {}
    resolved = (status.resolved or {}) | of_best_trial | ({"precision": summary.precision} if summary.precision else {})
    status = changed(
        status,
        progress=_progress(status, percent=percent("train", 1.0), step=summary.steps, **loss),
        resume="rounding" if is_rounding else "exact",
        resolved=resolved or None,
        conditions=with_findings(list(status.conditions or ()), summary.findings, now=now) or None,
    )
    status = with_checkpoint(with_start(status, summary.start_step), latest=summary.last, best=summary.best)
    return with_save_seconds(with_search(status, summary.search), summary.save_seconds_p95)


def with_exported(status: FineTuneJobStatus, summary: ExportSummary) -> FineTuneJobStatus:
    """Return the status with the published artifact and its evaluation, each list cut to what the status may hold."""
    paired = _with_short_names([summary.paired] if summary.paired else [])
    metrics = [*_with_short_names(summary.metrics)[: MOST_METRICS - len(paired)], *paired]
    artifact = ArtifactStatus(
        uri=summary.artifact_uri,
        digest=summary.digest,
        size_bytes=summary.size_bytes,
        formats=list(filter(is_short, summary.formats))[:MOST_FORMATS],
    )
    evaluation = EvaluationStatus(
        metrics=[
            MetricValue(name=metric.name, split=metric.split, value=metric.value, low=metric.low, high=metric.high)
            for metric in metrics
        ],
        baselines=[
            BaselineValue(name=baseline.name, value=baseline.value, low=baseline.low, high=baseline.high)
            for baseline in _with_short_names(summary.baselines)[:MOST_BASELINES]
        ],
        comparison=_comparison(summary.comparison),
    )
    return changed(status, artifact=artifact, evaluation=evaluation, progress=_progress(status, percent="100%"))


def _comparison(summary: ComparisonSummary | None) -> ComparisonStatus | None:
    """Return the comparison as the status holds it; None where there is none, or where its names are longer than the status holds."""
    if summary is None or not all(map(is_short, (summary.metric, summary.champion_digest))):
        return None
    sets = [found.to_wire() for found in summary.sets if is_short(found.name)][:MOST_SETS]
    return ComparisonStatus.from_wire(summary.to_wire() | {"message": summary.message[:MOST_TEXT], "sets": sets})


def _with_short_names(results: list[Measured]) -> list[Measured]:
    return [result for result in results if is_short(result.name) and is_short(result.split)]


def _lineage(lineage: Lineage, summary: PrepareSummary, *, image_digest: str) -> Lineage:
    lineage = changed(lineage, model_revision=summary.model_revision, data_digest=summary.dataset_digest)
    return changed(lineage, image_digest=image_digest) if image_digest else lineage


def _progress(status: FineTuneJobStatus, **fields: Any) -> Progress:
    """Return the progress at the end of a stage, which has no time left."""
    return changed(status.progress or Progress(), **fields, eta=None, eta_seconds=None)
