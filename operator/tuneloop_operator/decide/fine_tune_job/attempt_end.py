"""The end of a run: what the status keeps of it. Shared by success, failure and stop."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from pydantic import ValidationError

from tuneloop_api.v1alpha1.fine_tune_job.status import AttemptRecord, FineTuneJobStatus, Progress
from tuneloop_api.wire.model import changed
from tuneloop_operator.decide.fine_tune_job.classify import termination_message_of
from tuneloop_operator.decide.fine_tune_job.start import with_child
from tuneloop_operator.decide.fine_tune_job.usage import with_usage
from tuneloop_operator.state.conditions import stamp
from tuneloop_operator.state.runs import child_of, job_of_run, nodes_of, pods_of_run, stage_of
from tuneloop_operator.status.fine_tune_job.progress import with_checkpoint, with_start

if TYPE_CHECKING:
    from datetime import datetime

    from tuneloop_api.contract.results import TrainSummary
    from tuneloop_api.v1alpha1.fine_tune_job.status import Failure
    from tuneloop_operator.state.observed import ObservedJob

_HISTORY = 10


def with_run_ended(
    observed: ObservedJob, status: FineTuneJobStatus, *, reason: str, failure: Failure | None, now: datetime
) -> FineTuneJobStatus:
    """Return the status after the end of the current run. The end of a training attempt is recorded, and its usage is counted."""
    status = with_child_ended(status)
    if stage_of(status) == "train":
        status = with_attempt_usage(observed, status, now=now)
        status = with_record(observed, status, reason=reason, failure=failure, now=now)
    return without_steps(without_speed(status))


def with_child_ended(status: FineTuneJobStatus) -> FineTuneJobStatus:
    """Return the status in which the Job of the current stage has ended."""
    child = child_of(status, stage := stage_of(status))
    return with_child(status, stage, changed(child, ended=True)) if child is not None else status


def with_attempt_usage(observed: ObservedJob, status: FineTuneJobStatus, *, now: datetime) -> FineTuneJobStatus:
    """Return the status with the usage of the attempt that is over."""
    summary = final_summary(observed, status)
    seconds = summary.step_seconds if summary is not None else (status.progress or Progress()).step_seconds
    return with_usage(observed, status, steps=steps_of(observed, status), step_seconds=seconds, now=now)


def with_record(
    observed: ObservedJob, status: FineTuneJobStatus, *, reason: str, failure: Failure | None, now: datetime
) -> FineTuneJobStatus:
    """Return the status with a record of the attempt in its history, which keeps the last ten."""
    job = job_of_run(observed, status)
    start_step, end_step = steps_of(observed, status)
    record = AttemptRecord(
        attempt=status.attempt or 0,
        start_step=start_step,
        end_step=end_step,
        started=stamp(job.created) if job else None,
        ended=stamp(now),
        failure_class=failure.failure_class if failure else None,
        reason=reason,
        node=failure.node if failure else None,
        nodes=nodes_of(observed, status),
    )
    return changed(status, history=[*(status.history or ()), record][-_HISTORY:])


def with_last_checkpoint(observed: ObservedJob, status: FineTuneJobStatus) -> FineTuneJobStatus:
    """Return the status with the newest checkpoint that a termination message names: the last progress message may be lost."""
    for message in map(termination_message_of, pods_of_run(observed, status)):
        if message is not None and (summary := message.train) is not None:
            with suppress(ValidationError):
                status = with_checkpoint(with_start(status, summary.start_step), latest=summary.last, best=summary.best)
    return status


def final_summary(observed: ObservedJob, status: FineTuneJobStatus) -> TrainSummary | None:
    """Return the summary in the termination message of a training pod; None if no pod of the current attempt wrote one."""
    messages = map(termination_message_of, pods_of_run(observed, status))
    return next((message.train for message in messages if message is not None and message.train is not None), None)


def steps_of(observed: ObservedJob, status: FineTuneJobStatus) -> tuple[int | None, int | None]:
    """Return the first and the last step of the attempt, by the final summary, or else by the last progress message."""
    summary = final_summary(observed, status)
    if summary is not None:
        return summary.start_step, summary.steps
    progress = status.progress or Progress()
    return (progress.start_step, progress.step) if progress.start_step is not None else (None, None)


def without_speed(status: FineTuneJobStatus) -> FineTuneJobStatus:
    """Return the status without speed and time left: a run that is over has neither."""
    return _without_progress(status, "tokens_per_second", "eta", "eta_seconds")


def without_steps(status: FineTuneJobStatus) -> FineTuneJobStatus:
    """Return the status without the start step and the step time: the next attempt reports its own."""
    return _without_progress(status, "start_step", "step_seconds")


def _without_progress(status: FineTuneJobStatus, *names: str) -> FineTuneJobStatus:
    if status.progress is None:
        return status
    return changed(status, progress=changed(status.progress, **dict.fromkeys(names)))
