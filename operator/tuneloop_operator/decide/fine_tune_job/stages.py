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
    from tuneloop_operator.state.observed import JobSeen, ObservedJob, PodSeen

BLAME_SECONDS = 5.0
"""How long the pods of a failed gang may take to say why, as long as only echoes of the failure were heard."""
SILENCE_SECONDS = 90.0
"""The same, while one that ran says nothing at all: its node may be dead. Kubernetes tells so after 40 to 50 seconds and the pod's toleration of 30."""


class Sight(StrEnum):
    """What is seen of the run's Job."""

    ABSENT = "Absent"
    ACTIVE = "Active"
    LEAVING = "Leaving"
    """It is being deleted."""
    FAILING = "Failing"
    """It has failed, but its pods have not said why yet."""
    FAILED = "Failed"
    SUCCEEDED = "Succeeded"


class Move(StrEnum):
    """What is done next."""

    OPEN = "Open"
    """Write the next run into the status, then create its Job."""
    ADOPT = "Adopt"
    """Record the uid of the Job that exists."""
    WATCH = "Watch"
    WAIT = "Wait"
    """Something has to go away first."""
    SUCCEED = "Succeed"
    FAIL = "Fail"
    LOSE = "Lose"
    """The Job is gone although nobody of ours deleted it."""
    CLOSE = "Close"
    """End the run because the job is suspended."""
    REMOVE = "Remove"
    """Delete the Job."""
    REST = "Rest"


TABLE: dict[tuple[Run, Sight], tuple[Move, Move]] = {
    # (run, sight): (move, move while suspended)
    (Run.WANTED, Sight.ABSENT): (Move.OPEN, Move.REST),
    (Run.WANTED, Sight.ACTIVE): (Move.ADOPT, Move.ADOPT),
    (Run.WANTED, Sight.LEAVING): (Move.WAIT, Move.REST),
    (Run.WANTED, Sight.FAILING): (Move.ADOPT, Move.ADOPT),
    (Run.WANTED, Sight.FAILED): (Move.ADOPT, Move.ADOPT),
    (Run.WANTED, Sight.SUCCEEDED): (Move.ADOPT, Move.ADOPT),
    (Run.POSTED, Sight.ABSENT): (Move.LOSE, Move.CLOSE),
    (Run.POSTED, Sight.ACTIVE): (Move.WATCH, Move.CLOSE),
    (Run.POSTED, Sight.LEAVING): (Move.WAIT, Move.CLOSE),
    (Run.POSTED, Sight.FAILING): (Move.WAIT, Move.WAIT),
    (Run.POSTED, Sight.FAILED): (Move.FAIL, Move.FAIL),
    (Run.POSTED, Sight.SUCCEEDED): (Move.SUCCEED, Move.SUCCEED),
    (Run.ENDED, Sight.ABSENT): (Move.OPEN, Move.REST),
    (Run.ENDED, Sight.ACTIVE): (Move.REMOVE, Move.REMOVE),
    (Run.ENDED, Sight.LEAVING): (Move.WAIT, Move.REST),
    (Run.ENDED, Sight.FAILING): (Move.REMOVE, Move.REMOVE),
    (Run.ENDED, Sight.FAILED): (Move.REMOVE, Move.REMOVE),
    (Run.ENDED, Sight.SUCCEEDED): (Move.REMOVE, Move.REMOVE),
    (Run.DONE, Sight.ABSENT): (Move.REST, Move.REST),
    (Run.DONE, Sight.ACTIVE): (Move.REMOVE, Move.REMOVE),
    (Run.DONE, Sight.LEAVING): (Move.REST, Move.REST),
    (Run.DONE, Sight.FAILING): (Move.REST, Move.REST),
    (Run.DONE, Sight.FAILED): (Move.REST, Move.REST),
    (Run.DONE, Sight.SUCCEEDED): (Move.REST, Move.REST),
}
LIVE_MOVES = frozenset({Move.FAIL, Move.LOSE, Move.CLOSE, Move.REMOVE})
"""Moves that cannot be taken back, so that they are never made on what the watch told alone. Success is none of them: a Job that has
succeeded stays so, however old the news is, and the write of the status fails if the FineTuneJob has changed."""


def sight_of(seen: ObservedJob, status: FineTuneJobStatus, *, now: datetime, settings: OperatorSettings) -> Sight:
    """Return what is seen of the current run's Job."""
    job, run = job_of_run(seen, status), run_of(status)
    if job is None:
        return Sight.ABSENT
    if job.deleting:
        return Sight.LEAVING
    pods = pods_of(seen, job)
    if job.outcome is None:
        is_over = run is Run.POSTED and overdue(seen, status, now=now, settings=settings) is not None
        return Sight.FAILED if is_over else Sight.ACTIVE
    if run is Run.ENDED and job.stage == "train":
        return Sight.ABSENT  # its name is not needed again, and its pods' logs are
    if job.outcome == "Succeeded":
        return Sight.SUCCEEDED
    return Sight.FAILED if _has_said_why(job, pods, now=now) else Sight.FAILING


def move_of(seen: ObservedJob, status: FineTuneJobStatus, *, now: datetime, settings: OperatorSettings) -> Move:
    """Return the one move that the table gives."""
    row = TABLE[run_of(status), sight_of(seen, status, now=now, settings=settings)]
    return row[bool(seen.job.spec.suspend)]


def strays(seen: ObservedJob, status: FineTuneJobStatus) -> tuple[JobSeen, ...]:
    """Return training Jobs that run although they are not the current attempt: a create whose answer came very late."""
    current = job_of_run(seen, status)
    return tuple(
        job
        for job in seen.jobs
        if job.stage == "train" and job is not current and job.outcome is None and not job.deleting
    )


def patience(pods: tuple[PodSeen, ...]) -> float:
    """Return how many seconds the pods of a failed gang may take to say why."""
    is_silent = any(pod.phase == "Running" and pod.ended is None and not pod.disruption for pod in pods)
    return SILENCE_SECONDS if is_silent else BLAME_SECONDS


def _has_said_why(job: JobSeen, pods: tuple[PodSeen, ...], *, now: datetime) -> bool:
    if all(pod.is_terminal for pod in pods):
        return True
    heard = blame(pods)
    if heard is not None and heard.noise == 0:
        return True
    return job.outcome_since is None or (now - job.outcome_since).total_seconds() >= patience(pods)
