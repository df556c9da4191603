"""The end of a run: what the status keeps of it, and whether another one follows."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from pydantic import ValidationError

from tuneloop_api.exit_codes import FailureClass
from tuneloop_api.v1alpha1.fine_tune_job_status import (
    AttemptRecord,
    Child,
    Failure,
    FineTuneJobStatus,
    Progress,
    Restarts,
    StageResult,
)
from tuneloop_operator.decide.classify import blame, handed_on, unexplained, unfinished, vanished, without_image
from tuneloop_operator.decide.opening import with_child
from tuneloop_operator.decide.restart import after_checkpoint, verdict
from tuneloop_operator.decide.stages import STAGES, child_of, job_of_run, pods_of, stage_of, starved
from tuneloop_operator.status.conditions import NO_ATTEMPT, QUEUED, condition, stamp, with_condition
from tuneloop_operator.status.handover import with_exported, with_prepared, with_trained
from tuneloop_operator.status.progress import with_checkpoint

if TYPE_CHECKING:
    from datetime import datetime

    from tuneloop_api.results import TerminationMessage
    from tuneloop_operator.observed import ObservedJob, PodSeen
    from tuneloop_operator.settings import OperatorSettings

_HISTORY = 10
_ROOM_FOR_LIMIT = 3900
"""Characters of a failure's message, of the 4096 that a status allows, where the limit that was reached is said behind it."""


def succeeded(seen: ObservedJob, status: FineTuneJobStatus, *, now: datetime) -> FineTuneJobStatus | None:
    """Return the status with what the stage handed on; None if none of its pods can say, or says what no status can hold."""
    try:
        return _succeeded(seen, status, now=now)
    except ValidationError:  # an image of the user's own may write anything
        return None


def _succeeded(seen: ObservedJob, status: FineTuneJobStatus, *, now: datetime) -> FineTuneJobStatus | None:
    job, stage = job_of_run(seen, status), stage_of(status)
    found = _handed_on(pods_of(seen, job)) if job else None
    if found is None or job is None:
        return None
    pod, message = found
    if message.prepare is not None:
        status = with_prepared(status, message.prepare, image=pod.image, now=now)
    elif message.train is not None:
        status = with_trained(status, message.train)
        status = _with_record(seen, status, reason="Succeeded", failure_class=None, now=now)
    elif message.export is not None:
        status = with_exported(status, message.export)
    else:
        return None
    result = message.result
    if result is None:
        return None
    child = Child(name=job.name, uid=job.uid, ended=True, result=StageResult(path=result.path, sha256=result.sha256))
    status = with_child(status, stage, child)
    if status.restarts is not None:  # a whole stage is as good as a checkpoint
        status = status.model_copy(update={"restarts": after_checkpoint(status.restarts)})
    return _completed(status, now=now) if stage == STAGES[-1] else status


def failure_of(seen: ObservedJob, status: FineTuneJobStatus, *, now: datetime, settings: OperatorSettings) -> Failure:
    """Return why the Job of the current run failed, or why it came to nothing."""
    job, stage = job_of_run(seen, status), stage_of(status)
    if job is None:
        child = child_of(status, stage)
        return vanished(name=child.name if child else stage, stage=stage)
    if job.outcome == "Succeeded":
        return unfinished(name=job.name, stage=stage)
    pods = pods_of(seen, job)
    if job.outcome is None and (pod := starved(pods, now=now, settings=settings)):
        return without_image(pod)
    found = blame(pods)
    return found.failure if found else unexplained(name=job.name, stage=stage, message=job.outcome_message)


def failed(
    seen: ObservedJob, status: FineTuneJobStatus, failure: Failure, *, now: datetime
) -> tuple[FineTuneJobStatus, bool]:
    """Return the status after a failed run, and whether another run follows."""
    status = _with_last_checkpoint(seen, status)
    kind = FailureClass(failure.failure_class)
    judged = verdict(kind, restarts=status.restarts or Restarts(), policy=seen.job.spec.failure_policy, now=stamp(now))
    status = _ended(seen, status, reason="Failed", failure_class=kind.value, now=now)
    if judged.restart:
        return status.model_copy(update={"restarts": judged.restarts, "failure": failure}), True
    message = failure.message or kind.value
    if judged.exhausted:
        message = f"{message[:_ROOM_FOR_LIMIT]} ({judged.exhausted})"
    failure = failure.model_copy(update={"message": message})
    return (
        status.model_copy(
            update={
                "failure": failure,
                "completion_time": stamp(now),
                "conditions": with_condition(
                    status.conditions, "Failed", true=True, reason=kind.value, message=message, now=now
                ),
            }
        ),
        False,
    )


def closed(seen: ObservedJob, status: FineTuneJobStatus, *, now: datetime) -> FineTuneJobStatus:
    """Return the status after a run that was ended because the job is suspended; no restart is counted."""
    return _ended(seen, _with_last_checkpoint(seen, status), reason="Suspended", failure_class=None, now=now)


def sent_back(seen: ObservedJob, status: FineTuneJobStatus, *, now: datetime) -> FineTuneJobStatus:
    """Return the status after a queue took the gang's nodes back, which is a disruption: the same attempt goes on once it is admitted again.

    The condition tells that it was not in the queue before, and, written with the count, that it is counted.
    """
    job, ready = job_of_run(seen, status), condition(status.conditions, "PodsReady")
    if job is None or not job.suspended or ready is None or ready.reason in {QUEUED, NO_ATTEMPT}:
        return status
    restarts, policy = status.restarts or Restarts(), seen.job.spec.failure_policy
    judged = verdict(FailureClass.PREEMPTED, restarts=restarts, policy=policy, now=stamp(now))
    return status.model_copy(update={"restarts": judged.restarts}) if judged.restart else status


def _ended(
    seen: ObservedJob, status: FineTuneJobStatus, *, reason: str, failure_class: str | None, now: datetime
) -> FineTuneJobStatus:
    stage = stage_of(status)
    child = child_of(status, stage)
    if child is not None:
        status = with_child(status, stage, child.model_copy(update={"ended": True}))
    if stage == "train":
        status = _with_record(seen, status, reason=reason, failure_class=failure_class, now=now)
    # speed and time left are those of a run that is over
    stopped = {"tokens_per_second": None, "eta": None, "eta_seconds": None, "start_step": None}
    progress = status.progress.model_copy(update=stopped) if status.progress else None
    return status.model_copy(update={"progress": progress})


def _with_record(
    seen: ObservedJob, status: FineTuneJobStatus, *, reason: str, failure_class: str | None, now: datetime
) -> FineTuneJobStatus:
    job = job_of_run(seen, status)
    start_step, end_step = _steps(seen, status)
    record = AttemptRecord(
        attempt=status.attempt or 0,
        start_step=start_step,
        end_step=end_step,
        started=stamp(job.created) if job else None,
        ended=stamp(now),
        failure_class=failure_class,
        reason=reason,
    )
    return status.model_copy(update={"history": [*(status.history or ()), record][-_HISTORY:]})


def _steps(seen: ObservedJob, status: FineTuneJobStatus) -> tuple[int | None, int | None]:
    """Return the first and the last step of the attempt that is over: what its pods said as they ended, else what it last posted."""
    job = job_of_run(seen, status)
    messages = (handed_on(pod) for pod in (pods_of(seen, job) if job else ()))
    told = next((message.train for message in messages if message is not None and message.train is not None), None)
    if told is not None:
        return told.start_step, told.steps
    posted = status.progress or Progress()
    return (posted.start_step, posted.step) if posted.start_step is not None else (None, None)


def _with_last_checkpoint(seen: ObservedJob, status: FineTuneJobStatus) -> FineTuneJobStatus:
    """Return the status with the newest checkpoint that a pod named as it ended: its last post may be lost."""
    job = job_of_run(seen, status)
    for pod in pods_of(seen, job) if job else ():
        message = handed_on(pod)
        if message is not None and message.train is not None:
            with suppress(ValidationError):
                status = with_checkpoint(status, latest=message.train.last, best=message.train.best)
    return status


def _handed_on(pods: tuple[PodSeen, ...]) -> tuple[PodSeen, TerminationMessage] | None:
    """Return the first pod, by rank, that succeeded and said what it made."""
    for pod in sorted(pods, key=lambda pod: pod.index):
        message = handed_on(pod)
        if message is not None and message.outcome == "Succeeded" and message.result is not None:
            return pod, message
    return None


def _completed(status: FineTuneJobStatus, *, now: datetime) -> FineTuneJobStatus:
    artifact = status.artifact
    conditions = with_condition(
        status.conditions,
        "Complete",
        true=True,
        reason="Published",
        message=f"the artifact is at {artifact.uri}" if artifact else "",
        now=now,
    )
    return status.model_copy(update={"conditions": conditions, "completion_time": stamp(now)})
