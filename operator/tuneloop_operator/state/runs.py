"""The current stage, the state of its run, and its Job and pods: what every decision reads first.

The status tells the state of a run. The Job of a pending run may exist or not. A created run has the uid of its Job in the status. The end
of a run that has ended is counted in the status. `prepare` and `export` have one Job name for all their runs. `train` numbers its attempts,
so that a Job name is never used twice.
"""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

from tuneloop_api.v1alpha1.fine_tune_job.status import Child, Children, FineTuneJobStatus
from tuneloop_api.wire.names import STAGES
from tuneloop_operator.names import job_name
from tuneloop_operator.state.conditions import PODS_REFUSED, condition, holds, moment

if TYPE_CHECKING:
    from datetime import datetime

    from tuneloop_api.contract.run_config import Stage
    from tuneloop_operator.state.observed import JobView, ObservedJob, PodView

CLOCK_SLACK_SECONDS = 10.0
"""Clocks of nodes and API server differ. A pod counts as stopped this long after its grace period; a pod belongs to a start of its Job even
if it seems to be created up to this long before."""


class Run(StrEnum):
    """The state of the current stage's run, by the status alone."""

    PENDING = "Pending"
    """The status names the run, or the run is still to be named."""
    CREATED = "Created"
    """The status holds the uid of the run's Job."""
    ENDED = "Ended"
    DONE = "Done"
    """All stages have succeeded, or the job has failed."""


def stage_of(status: FineTuneJobStatus) -> Stage:
    """Return the first stage without a result; the last stage if all have one."""
    return next((stage for stage in STAGES if not _has_result(child_of(status, stage))), STAGES[-1])


def child_of(status: FineTuneJobStatus, stage: Stage) -> Child | None:
    """Return the status's entry for the Job of a stage."""
    child: Child | None = getattr(status.children or Children(), stage)
    return child


def _has_result(child: Child | None) -> bool:
    return child is not None and child.result is not None


def is_finished(status: FineTuneJobStatus) -> bool:
    """Whether the job has succeeded or failed for good."""
    return holds(status.conditions, "Complete") or holds(status.conditions, "Failed")


def run_of(status: FineTuneJobStatus) -> Run:
    """Return the state of the current stage's run."""
    if is_finished(status):
        return Run.DONE
    child = child_of(status, stage_of(status))
    if child is not None and child.ended:
        return Run.ENDED
    return Run.CREATED if child is not None and child.uid is not None else Run.PENDING


def job_of_run(observed: ObservedJob, status: FineTuneJobStatus) -> JobView | None:
    """Return the Job of the current run: by uid if the status holds one, else by name."""
    stage = stage_of(status)
    child = child_of(status, stage)
    if run_of(status) is Run.CREATED and child is not None:
        return next((job for job in observed.jobs if job.uid == child.uid), None)
    name = job_name(observed.job, stage=stage, attempt=status.attempt or 0)
    return next((job for job in observed.jobs if job.name == name), None)


def pods_of(observed: ObservedJob, job: JobView) -> tuple[PodView, ...]:
    """Return the pods of a Job."""
    return tuple(pod for pod in observed.pods if pod.owner == job.uid)


def pods_since_start(observed: ObservedJob, job: JobView) -> tuple[PodView, ...]:
    """Return the pods of a Job since its last start. Earlier pods, which a queue took away, belong to another gang."""
    since = job.started - timedelta(seconds=CLOCK_SLACK_SECONDS) if job.started else None
    return tuple(pod for pod in pods_of(observed, job) if since is None or pod.created >= since)


def pods_of_run(observed: ObservedJob, status: FineTuneJobStatus) -> tuple[PodView, ...]:
    """Return the pods of the current run, which may outlive its Job, without those that ended before the current gang began to run."""
    child, job = child_of(status, stage_of(status)), job_of_run(observed, status)
    owner = job.uid if job else child and child.uid
    since = moment(status.running_since) if status.running_since else None
    return tuple(
        pod for pod in observed.pods if pod.owner == owner and (since is None or not _ended_before(pod, since))
    )


def _ended_before(pod: PodView, time: datetime) -> bool:
    return pod.ended is not None and pod.ended.finished < time


def running_since(observed: ObservedJob, status: FineTuneJobStatus) -> datetime | None:
    """Return when the last pod of the current gang began to run; None unless every pod did.

    The pods tell this time, because the operator may have been away for hours while they started.
    """
    job = job_of_run(observed, status)
    if job is None or job.suspended:
        return None
    starts = [pod.started for pod in pods_since_start(observed, job) if pod.started is not None]
    return max(starts) if len(starts) >= nodes_of(observed, status) else None


def nodes_of(observed: ObservedJob, status: FineTuneJobStatus) -> int:
    """Return the number of nodes of the current attempt."""
    return status.nodes or observed.settings.gang.nodes


def pods_expected(observed: ObservedJob, status: FineTuneJobStatus) -> int:
    """Return the number of pods of the current run: one for each node of a gang, one for another stage."""
    return nodes_of(observed, status) if stage_of(status) == "train" else 1


def seconds_until_stopped(observed: ObservedJob, stage: Stage, *, now: datetime) -> float:
    """Return the seconds until no pod of a stage can run any more: 0 if none can now, infinity if the time is unknown."""
    left = [_seconds_left(pod, now=now) for pod in observed.pods if pod.stage == stage and not pod.is_terminal]
    return max(left, default=0.0)


def _seconds_left(pod: PodView, *, now: datetime) -> float:
    if pod.gone_by is None:
        return float("inf")
    return max((pod.gone_by - now).total_seconds() + CLOCK_SLACK_SECONDS, 0.0)


def refusal_of(observed: ObservedJob, job: JobView, *, is_missing_pods: bool) -> str:
    """Return why the API server refused pods of a Job; empty if no pod is missing, or no refusal is known.

    A refusal in the status, from an earlier read, holds until refusals are read again.
    """
    if not is_missing_pods:
        return ""
    if job.refusal is not None or observed.live:
        return job.refusal or ""
    ready = condition(observed.job.status.conditions if observed.job.status else None, "PodsReady")
    return ready.message if ready is not None and ready.reason == PODS_REFUSED else ""
