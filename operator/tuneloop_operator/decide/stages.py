"""The state machine of a job: which stage is on, how far its run is, what is seen of its Job, and the one move that follows.

A run of a stage is wanted (its name may stand in the status), posted (the uid of its Job stands there), or ended (its end is counted there).
`prepare` and `export` use one name for all their runs; `train` counts attempts, so that a name is never used twice.
"""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

from tuneloop_api.v1alpha1.fine_tune_job_status import Child, Children, FineTuneJobStatus
from tuneloop_operator.decide.classify import blame
from tuneloop_operator.desired.metadata import job_name
from tuneloop_operator.status.conditions import holds

if TYPE_CHECKING:
    from datetime import datetime

    from tuneloop_api.run_config import Stage
    from tuneloop_operator.observed import JobSeen, ObservedJob, PodSeen
    from tuneloop_operator.settings import OperatorSettings

STAGES: tuple[Stage, ...] = ("prepare", "train", "export")
BLAME_SECONDS = 10.0
"""How long the pods of a failed gang may take to say why, as long as only echoes of the failure were heard."""
DELETION_SLACK_SECONDS = 10.0
"""Clocks differ: a pod counts as gone this long after its grace period."""
_NO_IMAGE = frozenset({"ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull", "CreateContainerConfigError"})


class Run(StrEnum):
    """How far the run of the current stage is, by the status alone."""

    WANTED = "Wanted"
    POSTED = "Posted"
    ENDED = "Ended"
    DONE = "Done"
    """All stages have succeeded, or the job has failed."""


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


def stage_of(status: FineTuneJobStatus) -> Stage:
    """Return the stage that is on; the last one if all have succeeded."""
    return next((stage for stage in STAGES if not _has_result(child_of(status, stage))), STAGES[-1])


def child_of(status: FineTuneJobStatus, stage: Stage) -> Child | None:
    """Return what the status says of a stage's Job."""
    child: Child | None = getattr(status.children or Children(), stage)
    return child


def _has_result(child: Child | None) -> bool:
    return child is not None and child.result is not None


def is_finished(status: FineTuneJobStatus) -> bool:
    """Whether the job has succeeded or failed for good."""
    return holds(status.conditions, "Complete") or holds(status.conditions, "Failed")


def run_of(status: FineTuneJobStatus) -> Run:
    """Return how far the run of the current stage is."""
    if is_finished(status):
        return Run.DONE
    child = child_of(status, stage_of(status))
    if child is not None and child.ended:
        return Run.ENDED
    return Run.POSTED if child is not None and child.uid is not None else Run.WANTED


def job_of_run(seen: ObservedJob, status: FineTuneJobStatus) -> JobSeen | None:
    """Return the Job of the current run: by uid once that is known, before by name."""
    stage = stage_of(status)
    child = child_of(status, stage)
    if run_of(status) is Run.POSTED and child is not None:
        return next((job for job in seen.jobs if job.uid == child.uid), None)
    name = job_name(seen.job, stage=stage, attempt=status.attempt or 0)
    return next((job for job in seen.jobs if job.name == name), None)


def sight_of(seen: ObservedJob, status: FineTuneJobStatus, *, now: datetime, settings: OperatorSettings) -> Sight:
    """Return what is seen of the current run's Job."""
    job, run = job_of_run(seen, status), run_of(status)
    if job is None:
        return Sight.ABSENT
    if job.deleting:
        return Sight.LEAVING
    pods = pods_of(seen, job)
    if job.outcome is None:
        is_hopeless = run is Run.POSTED and starved(pods, now=now, settings=settings) is not None
        return Sight.FAILED if is_hopeless else Sight.ACTIVE
    if run is Run.ENDED and job.stage == "train":
        return Sight.ABSENT  # its name is not needed again, and its pods' logs are
    if job.outcome == "Succeeded":
        return Sight.SUCCEEDED
    return Sight.FAILED if _has_said_why(job, pods, now=now) else Sight.FAILING


def move_of(seen: ObservedJob, status: FineTuneJobStatus, *, now: datetime, settings: OperatorSettings) -> Move:
    """Return the one move that the table gives."""
    row = TABLE[run_of(status), sight_of(seen, status, now=now, settings=settings)]
    return row[bool(seen.job.spec.suspend)]


def pods_of(seen: ObservedJob, job: JobSeen) -> tuple[PodSeen, ...]:
    """Return the pods of one Job."""
    return tuple(pod for pod in seen.pods if pod.owner == job.uid)


def strays(seen: ObservedJob, status: FineTuneJobStatus) -> tuple[JobSeen, ...]:
    """Return training Jobs that run although they are not the current attempt: a create whose answer came very late."""
    current = job_of_run(seen, status)
    return tuple(
        job
        for job in seen.jobs
        if job.stage == "train" and job is not current and job.outcome is None and not job.deleting
    )


def starved(pods: tuple[PodSeen, ...], *, now: datetime, settings: OperatorSettings) -> PodSeen | None:
    """Return a pod that has waited too long for its image, or can never have it."""
    return next(
        (
            pod
            for pod in pods
            if pod.waiting == "InvalidImageName"
            or (pod.waiting in _NO_IMAGE and now - pod.created >= timedelta(seconds=settings.image_deadline_seconds))
        ),
        None,
    )


def starves_in(pods: tuple[PodSeen, ...], *, now: datetime, settings: OperatorSettings) -> float | None:
    """Return the seconds until `starved` may name one of these pods."""
    limits = [
        settings.image_deadline_seconds - (now - pod.created).total_seconds()
        for pod in pods
        if pod.waiting in _NO_IMAGE
    ]
    return max(min(limits), 0.0) if limits else None


def _has_said_why(job: JobSeen, pods: tuple[PodSeen, ...], *, now: datetime) -> bool:
    if all(pod.is_terminal for pod in pods):
        return True
    heard = blame(pods)
    if heard is not None and heard.noise == 0:
        return True
    return job.outcome_since is None or (now - job.outcome_since).total_seconds() >= BLAME_SECONDS


def quiet_in(seen: ObservedJob, stage: Stage, *, now: datetime) -> float:
    """Return the seconds until no pod of a stage can run any more: 0 if that is so; infinity if it is not known."""
    left = [_gone_in(pod, now=now) for pod in seen.pods if pod.stage == stage and not pod.is_terminal]
    return max(left, default=0.0)


def _gone_in(pod: PodSeen, *, now: datetime) -> float:
    if pod.gone_by is None:
        return float("inf")
    return max((pod.gone_by - now).total_seconds() + DELETION_SLACK_SECONDS, 0.0)
