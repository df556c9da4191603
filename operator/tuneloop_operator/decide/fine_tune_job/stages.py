"""The state machine of a job: what is seen of the Job of the current run, and the one move that follows."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from tuneloop_operator.decide.fine_tune_job.classify import blame
from tuneloop_operator.decide.fine_tune_job.deadlines import overdue
from tuneloop_operator.state.runs import Run, job_of_run, pods_of, run_of

if TYPE_CHECKING:
    from datetime import datetime

    from tuneloop_api.v1alpha1.fine_tune_job.status import FineTuneJobStatus
    from tuneloop_operator.settings.operator import OperatorSettings
    from tuneloop_operator.state.observed import JobView, ObservedJob, PodView

BLAME_WINDOW_SECONDS = 5.0
"""How long the pods of a failed gang may take to say why, as long as only echoes of the failure were heard."""
SILENCE_SECONDS = 90.0
"""The same, while one that ran says nothing at all: its node may be dead. Kubernetes tells so after 40 to 50 seconds and the pod's toleration of 30."""


class JobState(StrEnum):
    """What is seen of the run's Job."""

    ABSENT = "Absent"
    ACTIVE = "Active"
    TERMINATING = "Terminating"
    """It is being deleted."""
    FAILING = "Failing"
    """It has failed, but its pods have not said why yet."""
    FAILED = "Failed"
    SUCCEEDED = "Succeeded"


class Transition(StrEnum):
    """What is done next."""

    CREATE = "Create"
    """Write the next run into the status, then create its Job."""
    RECORD_UID = "RecordUid"
    """Record the uid of the Job that exists."""
    WATCH = "Watch"
    WAIT = "Wait"
    """Something has to go away first."""
    SUCCEED = "Succeed"
    FAIL = "Fail"
    MARK_LOST = "MarkLost"
    """The Job is gone although nobody of ours deleted it."""
    SUSPEND = "Suspend"
    """End the run because the job is suspended."""
    REMOVE = "Remove"
    """Delete the Job."""
    IDLE = "Idle"


TABLE: dict[tuple[Run, JobState], tuple[Transition, Transition]] = {
    # (run, sight): (move, move while suspended)
    (Run.PENDING, JobState.ABSENT): (Transition.CREATE, Transition.IDLE),
    (Run.PENDING, JobState.ACTIVE): (Transition.RECORD_UID, Transition.RECORD_UID),
    (Run.PENDING, JobState.TERMINATING): (Transition.WAIT, Transition.IDLE),
    (Run.PENDING, JobState.FAILING): (Transition.RECORD_UID, Transition.RECORD_UID),
    (Run.PENDING, JobState.FAILED): (Transition.RECORD_UID, Transition.RECORD_UID),
    (Run.PENDING, JobState.SUCCEEDED): (Transition.RECORD_UID, Transition.RECORD_UID),
    (Run.CREATED, JobState.ABSENT): (Transition.MARK_LOST, Transition.SUSPEND),
    (Run.CREATED, JobState.ACTIVE): (Transition.WATCH, Transition.SUSPEND),
    (Run.CREATED, JobState.TERMINATING): (Transition.WAIT, Transition.SUSPEND),
    (Run.CREATED, JobState.FAILING): (Transition.WAIT, Transition.WAIT),
    (Run.CREATED, JobState.FAILED): (Transition.FAIL, Transition.FAIL),
    (Run.CREATED, JobState.SUCCEEDED): (Transition.SUCCEED, Transition.SUCCEED),
    (Run.ENDED, JobState.ABSENT): (Transition.CREATE, Transition.IDLE),
    (Run.ENDED, JobState.ACTIVE): (Transition.REMOVE, Transition.REMOVE),
    (Run.ENDED, JobState.TERMINATING): (Transition.WAIT, Transition.IDLE),
    (Run.ENDED, JobState.FAILING): (Transition.REMOVE, Transition.REMOVE),
    (Run.ENDED, JobState.FAILED): (Transition.REMOVE, Transition.REMOVE),
    (Run.ENDED, JobState.SUCCEEDED): (Transition.REMOVE, Transition.REMOVE),
    (Run.DONE, JobState.ABSENT): (Transition.IDLE, Transition.IDLE),
    (Run.DONE, JobState.ACTIVE): (Transition.REMOVE, Transition.REMOVE),
    (Run.DONE, JobState.TERMINATING): (Transition.IDLE, Transition.IDLE),
    (Run.DONE, JobState.FAILING): (Transition.IDLE, Transition.IDLE),
    (Run.DONE, JobState.FAILED): (Transition.IDLE, Transition.IDLE),
    (Run.DONE, JobState.SUCCEEDED): (Transition.IDLE, Transition.IDLE),
}
IRREVERSIBLE = frozenset({Transition.FAIL, Transition.MARK_LOST, Transition.SUSPEND, Transition.REMOVE})
"""Moves that cannot be taken back, so that they are never made on what the watch told alone. Success is none of them: a Job that has
succeeded stays so, however old the news is, and the write of the status fails if the FineTuneJob has changed."""


def job_state_of(
    seen: ObservedJob, status: FineTuneJobStatus, *, now: datetime, settings: OperatorSettings
) -> JobState:
    """Return what is seen of the current run's Job."""
    job, run = job_of_run(seen, status), run_of(status)
    if job is None:
        return JobState.ABSENT
    if job.deleting:
        return JobState.TERMINATING
    pods = pods_of(seen, job)
    if job.outcome is None:
        is_over = run is Run.CREATED and overdue(seen, status, now=now, settings=settings) is not None
        return JobState.FAILED if is_over else JobState.ACTIVE
    if run is Run.ENDED and job.stage == "train":
        return JobState.ABSENT  # its name is not needed again, and its pods' logs are
    if job.outcome == "Succeeded":
        return JobState.SUCCEEDED
    return JobState.FAILED if _has_said_why(job, pods, now=now) else JobState.FAILING


def transition_of(
    seen: ObservedJob, status: FineTuneJobStatus, *, now: datetime, settings: OperatorSettings
) -> Transition:
    """Return the one move that the table gives."""
    row = TABLE[run_of(status), job_state_of(seen, status, now=now, settings=settings)]
    return row[bool(seen.job.spec.suspend)]


def orphaned_jobs(seen: ObservedJob, status: FineTuneJobStatus) -> tuple[JobView, ...]:
    """Return training Jobs that run although they are not the current attempt: a create whose answer came very late."""
    current = job_of_run(seen, status)
    return tuple(
        job
        for job in seen.jobs
        if job.stage == "train" and job is not current and job.outcome is None and not job.deleting
    )


def blame_window(pods: tuple[PodView, ...]) -> float:
    """Return how many seconds the pods of a failed gang may take to say why."""
    is_silent = any(pod.phase == "Running" and pod.ended is None and not pod.disruption for pod in pods)
    return SILENCE_SECONDS if is_silent else BLAME_WINDOW_SECONDS


def _has_said_why(job: JobView, pods: tuple[PodView, ...], *, now: datetime) -> bool:
    if all(pod.is_terminal for pod in pods):
        return True
    heard = blame(pods)
    if heard is not None and heard.echo_rank == 0:
        return True
    return job.outcome_since is None or (now - job.outcome_since).total_seconds() >= blame_window(pods)
