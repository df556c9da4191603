"""A gang that is stopped although nothing failed: by suspension, by a queue, or for another plan.

Its pods still save a checkpoint while they stop. Their termination messages say what the gang did and used, so that usage is counted later.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneloop_api.v1alpha1.fine_tune_job.status import Failure, FineTuneJobStatus, Restarts
from tuneloop_api.wire.failure_class import FailureClass
from tuneloop_api.wire.model import changed
from tuneloop_operator.decide.fine_tune_job.attempt_end import (
    final_summary,
    steps_of,
    with_attempt_usage,
    with_child_ended,
    with_last_checkpoint,
    with_record,
    without_speed,
    without_steps,
)
from tuneloop_operator.decide.fine_tune_job.restart import restart_decision
from tuneloop_operator.decide.fine_tune_job.usage import with_usage
from tuneloop_operator.state.conditions import NO_ATTEMPT, QUEUED, condition, moment, stamp
from tuneloop_operator.state.runs import (
    Run,
    job_of_run,
    nodes_of,
    pods_of,
    pods_of_run,
    run_of,
    running_since,
    seconds_until_stopped,
    stage_of,
)

if TYPE_CHECKING:
    from datetime import datetime

    from tuneloop_operator.state.observed import ObservedJob


def stopped(observed: ObservedJob, status: FineTuneJobStatus, *, reason: str, now: datetime) -> FineTuneJobStatus:
    """Return the status after the operator ended a run in which nothing failed. No restart is counted.

    Usage is not counted yet: `with_final_usage` counts it once the pods have stopped.
    """
    since = running_since(observed, status)
    status = without_speed(with_child_ended(status))
    if stage_of(status) != "train":
        return status
    status = with_record(observed, status, reason=reason, failure=None, now=now)
    if status.running_since is None:
        status = changed(status, running_since=stamp(since) if since else None)
    return status if status.running_since else without_steps(status)


def with_final_usage(observed: ObservedJob, status: FineTuneJobStatus, *, now: datetime) -> FineTuneJobStatus:
    """Return the status with the usage of a gang that was stopped, once a pod has written its final summary or no pod runs any more."""
    stop_time = _stop_time(status)
    if status.running_since is None or stop_time is None:
        return status
    job, has_ended = job_of_run(observed, status), run_of(status) is Run.ENDED
    is_suspended = job is not None and job.suspended
    if not has_ended and not is_suspended:  # the Job was resumed: the pods may be those of the next gang
        return with_usage(observed, status, steps=(None, None), step_seconds=None, now=stop_time)
    may_still_report = seconds_until_stopped(observed, "train", now=now) > 0
    if may_still_report and final_summary(observed, status) is None:
        return status
    start_step, end_step = steps_of(observed, status)
    status = with_last_checkpoint(observed, status)
    is_end_known = any(pod.ended for pod in pods_of_run(observed, status))
    status = with_attempt_usage(observed, status, now=now if is_end_known else stop_time)
    if not has_ended or not status.history:
        return status
    record = changed(status.history[-1], start_step=start_step, end_step=end_step)
    return without_steps(changed(status, history=[*status.history[:-1], record]))


def requeued_by_queue(observed: ObservedJob, status: FineTuneJobStatus, *, now: datetime) -> FineTuneJobStatus:
    """Return the status after a queue suspended the Job of a gang. That is a disruption; once admitted again, the same attempt goes on.

    The condition PodsReady tells whether the disruption is counted already: its reason becomes Queued in the same write as the count.
    """
    job, ready = job_of_run(observed, status), condition(status.conditions, "PodsReady")
    if stage_of(status) != "train" or job is None or not job.suspended:
        return status
    if ready is None or ready.reason in {QUEUED, NO_ATTEMPT}:
        return status
    restarts, policy = status.restarts or Restarts(), observed.job.spec.failure_policy
    preempted = Failure(failure_class=FailureClass.PREEMPTED.value)
    restart = restart_decision(preempted, restarts=restarts, policy=policy, now=stamp(now))
    if status.running_since is None:  # the gang came up while no operator ran
        starts = [pod.started for pod in pods_of(observed, job) if pod.started is not None and not pod.is_terminal]
        is_whole = len(starts) >= nodes_of(observed, status)
        status = changed(status, running_since=stamp(max(starts)) if is_whole else None)
    if not restart.restarts_run:
        # The limit is reached, but the queue decides when the gang runs again. Usage is counted now: `restarts` keeps no time of this stop.
        return with_attempt_usage(observed, status, now=now)
    return changed(status, restarts=restart.restarts)


def _stop_time(status: FineTuneJobStatus) -> datetime | None:
    """Return when the operator ended the run of the current gang, or a queue suspended it; None while the gang is to run."""
    if run_of(status) is Run.ENDED and status.history and status.history[-1].ended:
        return moment(status.history[-1].ended)
    ready, restarts = condition(status.conditions, "PodsReady"), status.restarts
    is_queued = run_of(status) is Run.CREATED and ready is not None and ready.reason == QUEUED
    return moment(restarts.last_time) if is_queued and restarts and restarts.last_time else None
