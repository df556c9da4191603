"""Which stage is on, how far its run is, and which Job and pods are its own: what every decision reads first.

A run of a stage is wanted (its name may stand in the status), posted (the uid of its Job stands there), or ended (its end is counted there).
`prepare` and `export` use one name for all their runs; `train` counts attempts, so that a name is never used twice.
"""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

from tuneloop_api.contract.defaults import with_defaults
from tuneloop_api.v1alpha1.fine_tune_job.status import Child, Children, FineTuneJobStatus
from tuneloop_api.wire.names import STAGES
from tuneloop_operator.names import job_name
from tuneloop_operator.state.conditions import holds, moment

if TYPE_CHECKING:
    from datetime import datetime

    from tuneloop_api.contract.run_config import Stage
    from tuneloop_operator.state.observed import JobView, ObservedJob, PodView

CLOCK_SLACK_SECONDS = 10.0
"""Clocks differ: a pod counts as gone this long after its grace period, and as made by a Job that was let go this long after it."""


class Run(StrEnum):
    """How far the run of the current stage is, by the status alone."""

    PENDING = "Pending"
    CREATED = "Created"
    ENDED = "Ended"
    DONE = "Done"
    """All stages have succeeded, or the job has failed."""


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
    return Run.CREATED if child is not None and child.uid is not None else Run.PENDING


def job_of_run(seen: ObservedJob, status: FineTuneJobStatus) -> JobView | None:
    """Return the Job of the current run: by uid once that is known, before by name."""
    stage = stage_of(status)
    child = child_of(status, stage)
    if run_of(status) is Run.CREATED and child is not None:
        return next((job for job in seen.jobs if job.uid == child.uid), None)
    name = job_name(seen.job, stage=stage, attempt=status.attempt or 0)
    return next((job for job in seen.jobs if job.name == name), None)


def pods_of(seen: ObservedJob, job: JobView) -> tuple[PodView, ...]:
    """Return the pods of one Job."""
    return tuple(pod for pod in seen.pods if pod.owner == job.uid)


def pods_let_go(seen: ObservedJob, job: JobView) -> tuple[PodView, ...]:
    """Return the pods that a Job has had since it was last let go: earlier ones, which a queue took away, are another gang's."""
    since = job.started - timedelta(seconds=CLOCK_SLACK_SECONDS) if job.started else None
    return tuple(pod for pod in pods_of(seen, job) if since is None or pod.created >= since)


def pods_of_run(seen: ObservedJob, status: FineTuneJobStatus) -> tuple[PodView, ...]:
    """Return the pods of the current run; they may outlive its Job. Those that were over before a queue let the gang go anew are another's."""
    child, job = child_of(status, stage_of(status)), job_of_run(seen, status)
    owner = job.uid if job else child and child.uid
    since = moment(status.running_since) if status.running_since else None
    return tuple(pod for pod in seen.pods if pod.owner == owner and (since is None or not _was_over(pod, since)))


def _was_over(pod: PodView, since: datetime) -> bool:
    return pod.ended is not None and pod.ended.finished < since


def running_since(seen: ObservedJob, status: FineTuneJobStatus) -> datetime | None:
    """Return when the last pod of the current gang began to run; None unless each of them did.

    The pods tell, not the moment at which it was seen: the operator may have been away for hours.
    """
    job = job_of_run(seen, status)
    if job is None or job.suspended:
        return None
    begun = [pod.started for pod in pods_let_go(seen, job) if pod.started is not None]
    return max(begun) if len(begun) >= nodes_of(seen, status) else None


def nodes_of(seen: ObservedJob, status: FineTuneJobStatus) -> int:
    """Return the number of nodes of the current attempt."""
    return status.nodes or with_defaults(seen.job.spec).gang.nodes


def quiet_in(seen: ObservedJob, stage: Stage, *, now: datetime) -> float:
    """Return the seconds until no pod of a stage can run any more: 0 if that is so; infinity if it is not known."""
    left = [_gone_in(pod, now=now) for pod in seen.pods if pod.stage == stage and not pod.is_terminal]
    return max(left, default=0.0)


def _gone_in(pod: PodView, *, now: datetime) -> float:
    if pod.gone_by is None:
        return float("inf")
    return max((pod.gone_by - now).total_seconds() + CLOCK_SLACK_SECONDS, 0.0)
