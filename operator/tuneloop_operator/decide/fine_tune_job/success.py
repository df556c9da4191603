"""A stage that succeeded: what its status keeps of the result, and whether the job is complete."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import ValidationError

from tuneloop_api.v1alpha1.fine_tune_job.status import (
    Child,
    Failure,
    FineTuneJobStatus,
    Progress,
    StageResult,
)
from tuneloop_api.wire.failure_class import FailureClass
from tuneloop_api.wire.model import changed
from tuneloop_api.wire.names import STAGES
from tuneloop_operator.decide.fine_tune_job.attempt_end import with_attempt_usage, with_record
from tuneloop_operator.decide.fine_tune_job.classify import termination_message_of
from tuneloop_operator.decide.fine_tune_job.start import with_child
from tuneloop_operator.state.conditions import stamp, with_condition
from tuneloop_operator.state.runs import job_of_run, pods_of, stage_of
from tuneloop_operator.status.fine_tune_job.handover import with_exported, with_prepared, with_trained
from tuneloop_operator.status.fine_tune_job.progress import after_checkpoint

if TYPE_CHECKING:
    from datetime import datetime

    from tuneloop_api.contract.results import TerminationMessage
    from tuneloop_api.v1alpha1.fine_tune_job.status_results import EvaluationStatus
    from tuneloop_operator.state.observed import ObservedJob, PodView


def succeeded(observed: ObservedJob, status: FineTuneJobStatus, *, now: datetime) -> FineTuneJobStatus | None:
    """Return the status with the result of the stage.

    None if no pod of the stage wrote a result, or if the result does not fit into a status: an image of the user may write anything.
    """
    try:
        return _succeeded(observed, status, now=now)
    except ValidationError:
        return None


def changed_data(observed: ObservedJob, status: FineTuneJobStatus) -> Failure | None:
    """Return the failure of data that was prepared again and differs from the data that training began with; None if they are the same."""
    job, before = job_of_run(observed, status), status.lineage.data_digest if status.lineage else None
    found = _result_of(pods_of(observed, job)) if job else None
    prepared = found[1].prepare if found else None
    if prepared is None or before in {None, prepared.dataset_digest}:
        return None
    return Failure(
        failure_class=FailureClass.DATA.value,
        stage="prepare",
        message=f"the sources have changed since training began: their prepared data is {prepared.dataset_digest}, it was {before}",
        hint="Put the files back as they were, or create the job under another name to train on the new ones.",
        retryable=False,
    )


def _succeeded(observed: ObservedJob, status: FineTuneJobStatus, *, now: datetime) -> FineTuneJobStatus | None:
    job, stage = job_of_run(observed, status), stage_of(status)
    found = _result_of(pods_of(observed, job)) if job else None
    if found is None or job is None:
        return None
    pod, message = found
    if message.prepare is not None:
        status = with_prepared(status, message.prepare, image=pod.image, now=now)
    elif message.train is not None:
        status = with_attempt_usage(observed, with_trained(status, message.train, now=now), now=now)
        status = with_record(observed, status, reason="Succeeded", failure=None, now=now)
    elif message.export is not None:
        status = with_exported(status, message.export)
    else:
        return None
    result = message.result
    if result is None:
        return None
    child = Child(name=job.name, uid=job.uid, ended=True, result=StageResult(path=result.path, sha256=result.sha256))
    status = with_child(status, stage, child)
    # data that was prepared again: only training shows whether it can be read
    is_repair = stage == "prepare" and status.attempt is not None
    if status.restarts is not None and not is_repair:  # a finished stage is as good as a checkpoint
        status = changed(status, restarts=after_checkpoint(status.restarts))
    if stage == STAGES[-1]:
        return _completed(status, reason="Published", now=now)
    return _dry_run(status, now=now) if stage == "prepare" and _is_dry_run(observed) else status


def _result_of(pods: tuple[PodView, ...]) -> tuple[PodView, TerminationMessage] | None:
    """Return the first pod, by rank, that succeeded and wrote a result, with its termination message."""
    for pod in sorted(pods, key=lambda pod: pod.index):
        message = termination_message_of(pod)
        if message is not None and message.outcome == "Succeeded" and message.result is not None:
            return pod, message
    return None


def _is_dry_run(observed: ObservedJob) -> bool:
    preflight = observed.job.spec.preflight
    return preflight is not None and bool(preflight.dry_run)


def _dry_run(status: FineTuneJobStatus, *, now: datetime) -> FineTuneJobStatus:
    """Return the status of a job that ends after its first stage: all of it is done."""
    progress = changed(status.progress or Progress(), percent="100%")
    return _completed(changed(status, progress=progress), reason="DryRun", now=now)


def _completed(status: FineTuneJobStatus, *, reason: str, now: datetime) -> FineTuneJobStatus:
    artifact = status.artifact
    ended = f"the artifact is at {artifact.uri}" if artifact else "checked and planned; preflight.dryRun ends here"
    message = ended + _calibration(status.evaluation)
    conditions = with_condition(status.conditions, "Complete", true=True, reason=reason, message=message, now=now)
    return changed(status, conditions=conditions, completion_time=stamp(now))


def _calibration(evaluation: EvaluationStatus | None) -> str:
    """Say whether the artifact has a fitted temperature. Empty if its task measures none."""
    values = {metric.name: metric.value for metric in (evaluation and evaluation.metrics) or ()}
    before, after = values.get("log_loss"), values.get("log_loss_calibrated")
    if before is None or after is None:
        return ""
    if before == after:
        return "; its temperature is 1: a fitted one was not shown to help"
    return f"; its fitted temperature changes the log loss of the test rows from {before:.4f} to {after:.4f}"
