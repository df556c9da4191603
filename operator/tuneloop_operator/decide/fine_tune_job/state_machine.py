"""The state machine of a FineTuneJob: from the state of the run and the state of its Job to the transition that follows."""

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
"""How long to wait for the pods of a failed gang to end, while those that ended show only echoes of the failure."""
SILENCE_SECONDS = 90.0
"""The same, while a pod that ran has not ended: its node may be dead. Kubernetes shows a dead node after 40 to 50 s, and the pod tolerates
it for 30 s."""


class JobState(StrEnum):
    """The state of the run's Job in the cluster."""

    ABSENT = "Absent"
    ACTIVE = "Active"
    TERMINATING = "Terminating"
    """It is being deleted."""
    FAILING = "Failing"
    """It has failed, but its pods do not show yet why."""
    FAILED = "Failed"
    SUCCEEDED = "Succeeded"


class Transition(StrEnum):
    """What happens next."""

    CREATE = "Create"
    """Write the next run into the status, then create its Job."""
    RECORD_UID = "RecordUid"
    """Record the uid of the Job that exists."""
    WATCH = "Watch"
    WAIT = "Wait"
    """Wait until a Job or its pods are gone."""
    SUCCEED = "Succeed"
    FAIL = "Fail"
    MARK_LOST = "MarkLost"
    """The Job is gone, and the operator did not delete it."""
    SUSPEND = "Suspend"
    """End the run because the job is suspended."""
    REMOVE = "Remove"
    """Delete the Job."""
    IDLE = "Idle"


TABLE: dict[tuple[Run, JobState], tuple[Transition, Transition]] = {
    # (state of the run, state of its Job): (transition, transition while suspended)
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
"""Transitions that cannot be taken back. They are decided on live reads only, because what the watch reported may be old. SUCCEED is not
among them: a Job that has succeeded stays so, and the write of the status fails if the FineTuneJob has changed since."""


def job_state_of(
    observed: ObservedJob, status: FineTuneJobStatus, *, now: datetime, settings: OperatorSettings
) -> JobState:
    """Return the state of the current run's Job."""
    job, run = job_of_run(observed, status), run_of(status)
    if job is None:
        return JobState.ABSENT
    if job.deleting:
        return JobState.TERMINATING
    pods = pods_of(observed, job)
    if job.outcome is None or (job.is_outlived and run is not Run.CREATED):  # containers of others run on in its pods
        is_overdue = run is Run.CREATED and overdue(observed, status, now=now, settings=settings) is not None
        return JobState.FAILED if is_overdue else JobState.ACTIVE
    if run is Run.ENDED and job.stage == "train":
        return JobState.ABSENT  # its name is not used again, and it is kept for the logs of its pods
    if job.outcome == "Succeeded":
        return JobState.SUCCEEDED
    return JobState.FAILED if _is_cause_known(job, pods, now=now) else JobState.FAILING


def transition_of(
    observed: ObservedJob, status: FineTuneJobStatus, *, now: datetime, settings: OperatorSettings
) -> Transition:
    """Return the transition that the table gives."""
    row = TABLE[run_of(status), job_state_of(observed, status, now=now, settings=settings)]
    return row[bool(observed.job.spec.suspend)]


def orphaned_jobs(observed: ObservedJob, status: FineTuneJobStatus) -> tuple[JobView, ...]:
    """Return Jobs other than that of the current run whose pods may run and must not.

    Either the create request of a training Job landed very late, or containers of others run on in the pods of a stage whose result was read.
    """
    current = job_of_run(observed, status)
    return tuple(
        job
        for job in observed.jobs
        if job is not current
        and not job.deleting
        and (job.is_outlived or (job.stage == "train" and job.outcome is None))
    )


def blame_window(pods: tuple[PodView, ...]) -> float:
    """Return how many seconds to wait for the pods of a failed gang to show why it failed."""
    is_silent = any(pod.phase == "Running" and pod.ended is None and not pod.disruption for pod in pods)
    return SILENCE_SECONDS if is_silent else BLAME_WINDOW_SECONDS


def _is_cause_known(job: JobView, pods: tuple[PodView, ...], *, now: datetime) -> bool:
    """Whether to judge a failed Job now: all its pods have ended, one of them shows the cause, or the blame window is over."""
    if all(pod.is_terminal for pod in pods):
        return True
    best = blame(pods)
    if best is not None and best.echo_rank == 0:
        return True
    return job.outcome_since is None or (now - job.outcome_since).total_seconds() >= blame_window(pods)
