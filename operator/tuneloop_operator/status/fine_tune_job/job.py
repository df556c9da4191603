"""What the status of a FineTuneJob shows of its children: phase, workers, conditions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneloop_api.wire.model import changed
from tuneloop_operator.state.conditions import (
    NO_ATTEMPT,
    PODS_REFUSED,
    QUEUED,
    condition,
    holds,
    stamp,
    with_condition,
)
from tuneloop_operator.state.runs import (
    Run,
    child_of,
    job_of_run,
    nodes_of,
    pods_expected,
    pods_since_start,
    refusal_of,
    run_of,
    running_since,
    stage_of,
)
from tuneloop_operator.status.blockers import with_blocker
from tuneloop_operator.status.fine_tune_job.readiness import with_readiness
from tuneloop_operator.status.fine_tune_job.training_health import with_health
from tuneloop_operator.status.waiting import why_waiting

if TYPE_CHECKING:
    from datetime import datetime

    from tuneloop_api.v1alpha1.common import Conditions
    from tuneloop_api.v1alpha1.fine_tune_job.status import Child, FineTuneJobStatus, JobPhase
    from tuneloop_operator.state.observed import ObservedJob, PodView

_STARTING = "Starting"
_AS_IT_SHOULD = frozenset({"", _STARTING})
"""Reasons of `_why_not_ready` with which nothing is wrong. For the one pod of `prepare` or `export` they are worth no write."""


def shown(observed: ObservedJob, status: FineTuneJobStatus, *, now: datetime) -> FineTuneJobStatus:
    """Return the status with everything that follows from the observed children."""
    pods = _pods(observed, status)
    nodes = nodes_of(observed, status)
    training = stage_of(status) == "train" and run_of(status) is not Run.PENDING
    is_queued = (job := job_of_run(observed, status)) is not None and job.suspended
    is_up = training and run_of(status) is Run.CREATED and _up(pods) == nodes and not is_queued
    job_phase = phase(observed, status, pods=pods, nodes=nodes)
    conditions = _conditions(observed, status, pods=pods, now=now)
    is_running = run_of(status) is Run.CREATED
    return changed(
        status,
        observed_generation=observed.job.metadata.get("generation"),
        phase=job_phase,
        running_since=status.running_since or (_since(observed, status, now=now) if is_up else None),
        workers=f"{_up(pods)}/{nodes}" if training else None,
        conditions=with_readiness(conditions, phase=job_phase, is_running=is_running, now=now) or None,
    )


def phase(observed: ObservedJob, status: FineTuneJobStatus, *, pods: tuple[PodView, ...], nodes: int) -> JobPhase:
    """Return the phase of the job."""
    if holds(status.conditions, "Failed"):
        return "Failed"
    if holds(status.conditions, "Complete"):
        return "Succeeded"
    run, stage = run_of(status), stage_of(status)
    if observed.job.spec.suspend and run is not Run.CREATED:
        return "Suspended"
    if status.start_time is None:
        return "Pending"
    if stage != "train":
        return "Preparing" if stage == "prepare" else "Exporting"
    return _training_phase(observed, status, is_up=_up(pods) == nodes)


def _since(observed: ObservedJob, status: FineTuneJobStatus, *, now: datetime) -> str:
    """Return since when the gang runs. The clock of a node may be ahead of the API server's."""
    return stamp(min(running_since(observed, status) or now, now))


def _training_phase(observed: ObservedJob, status: FineTuneJobStatus, *, is_up: bool) -> JobPhase:
    job = job_of_run(observed, status)
    if run_of(status) is Run.ENDED or (job is not None and job.outcome == "Failed"):
        return "Restarting"
    if job is not None and job.outcome == "Succeeded":
        return "Running"  # until its result is read
    if job is not None and job.suspended:
        return "Queued"
    if is_up or _was_up(observed, status):
        return "Running"
    return "Restarting" if status.restarts and (status.attempt or 0) > 1 else "Queued"


def _was_up(observed: ObservedJob, status: FineTuneJobStatus) -> bool:
    """Whether all pods of this attempt ran before. After a pod is deleted, it takes a moment until its Job has failed."""
    before = observed.job.status
    return before is not None and before.phase == "Running" and before.attempt == status.attempt


def _up(pods: tuple[PodView, ...]) -> int:
    """Return how many pods are ready or have succeeded: the others are about to succeed, too."""
    return sum(pod.ready or _is_done(pod) for pod in pods)


def _is_done(pod: PodView) -> bool:
    """Whether the pod has succeeded. The kubelet makes the pod unready some time before it sets the phase Succeeded."""
    return pod.phase == "Succeeded" or (pod.ended is not None and pod.ended.exit_code == 0)


def _pods(observed: ObservedJob, status: FineTuneJobStatus) -> tuple[PodView, ...]:
    job = job_of_run(observed, status)
    if run_of(status) is not Run.CREATED or job is None:
        return ()
    return pods_since_start(observed, job)


def _conditions(
    observed: ObservedJob, status: FineTuneJobStatus, *, pods: tuple[PodView, ...], now: datetime
) -> Conditions:
    conditions = list(status.conditions or ())
    if status.start_time is not None and condition(conditions, "Accepted") is not None:
        # a started job stays accepted; the condition was False while the object could not be read
        conditions = with_condition(conditions, "Accepted", true=True, reason="Accepted", now=now)
    if run_of(status) is Run.CREATED:
        reason, message = _why_not_ready(observed, status, pods=pods)
        if stage_of(status) == "train" or reason not in _AS_IT_SHOULD or _is_shown(conditions):
            conditions = with_condition(
                conditions, "PodsReady", true=not reason, reason=reason or "AllReady", message=message, now=now
            )
    elif condition(conditions, "PodsReady") is not None or _has_ended(child_of(status, "train")):
        conditions = with_condition(conditions, "PodsReady", true=False, reason=NO_ATTEMPT, now=now)
    is_created = run_of(status) in {Run.CREATED, Run.DONE}
    conditions = with_blocker(conditions, observed.blocker, is_gone=is_created, now=now)
    return with_health(observed, status, conditions, now=now)


def _is_shown(conditions: Conditions) -> bool:
    """Whether the condition PodsReady is about the pods of the current run."""
    ready = condition(conditions, "PodsReady")
    return ready is not None and ready.reason != NO_ATTEMPT


def _has_ended(gang: Child | None) -> bool:
    """Whether the gang has ended, perhaps while no operator ran."""
    return gang is not None and bool(gang.ended)


def _why_not_ready(observed: ObservedJob, status: FineTuneJobStatus, *, pods: tuple[PodView, ...]) -> tuple[str, str]:
    """Return reason and message of a run of any stage; the reason is empty if all pods are ready."""
    job, expected = job_of_run(observed, status), pods_expected(observed, status)
    if job is not None and job.suspended:
        return QUEUED, "the Job is suspended by a queue"
    if job is not None and job.outcome == "Failed":
        if job.stage != "train":
            return "PodFailed", "the pod has failed"
        return "GangFailed", "a pod has failed; the others are stopped"
    if job is not None and (refusal := refusal_of(observed, job, is_missing_pods=len(pods) < expected)):
        return PODS_REFUSED, refusal
    if (waiting := why_waiting(pods)) is not None:
        return waiting
    # the number of ready pods stands in `workers` alone, whose writes are limited as those of progress: large gangs start pod by pod
    return ("", "all pods are ready") if _up(pods) == expected else (_STARTING, "not all pods are ready")
