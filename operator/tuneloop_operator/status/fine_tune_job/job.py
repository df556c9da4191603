"""What the status of a FineTuneJob shows of what is seen: phase, workers, conditions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneloop_operator.state.conditions import (
    NO_ATTEMPT,
    PODS_REFUSED,
    QUEUED,
    condition,
    holds,
    stamp,
    with_condition,
    without_condition,
)
from tuneloop_operator.state.runs import (
    Run,
    child_of,
    job_of_run,
    nodes_of,
    pods_let_go,
    run_of,
    running_since,
    stage_of,
)
from tuneloop_operator.status.fine_tune_job.training_health import with_health

if TYPE_CHECKING:
    from datetime import datetime

    from tuneloop_api.v1alpha1.common import Conditions
    from tuneloop_api.v1alpha1.fine_tune_job.status import Child, FineTuneJobStatus, JobPhase
    from tuneloop_operator.state.observed import JobView, ObservedJob, PodView

_BLOCKERS = ("NameConflict", "Refused")


def shown(seen: ObservedJob, status: FineTuneJobStatus, *, now: datetime) -> FineTuneJobStatus:
    """Return the status with everything in it that follows from what is seen now."""
    pods = _gang(seen, status)
    nodes = nodes_of(seen, status)
    training = stage_of(status) == "train" and run_of(status) is not Run.PENDING
    is_queued = (job := job_of_run(seen, status)) is not None and job.suspended
    is_up = training and run_of(status) is Run.CREATED and _up(pods) == nodes and not is_queued
    return status.model_copy(
        update={
            "observed_generation": seen.job.metadata.get("generation"),
            "phase": phase(seen, status, pods=pods, nodes=nodes),
            "running_since": status.running_since or (_since(seen, status, now=now) if is_up else None),
            "workers": f"{_up(pods)}/{nodes}" if training else None,
            "conditions": _conditions(seen, status, pods=pods, nodes=nodes, now=now) or None,
        }
    )


def phase(seen: ObservedJob, status: FineTuneJobStatus, *, pods: tuple[PodView, ...], nodes: int) -> JobPhase:
    """Return the one word for where the job is."""
    if holds(status.conditions, "Failed"):
        return "Failed"
    if holds(status.conditions, "Complete"):
        return "Succeeded"
    run, stage = run_of(status), stage_of(status)
    if seen.job.spec.suspend and run is not Run.CREATED:
        return "Suspended"
    if status.start_time is None:
        return "Pending"
    if stage != "train":
        return "Preparing" if stage == "prepare" else "Exporting"
    return _training_phase(seen, status, is_up=_up(pods) == nodes)


def _since(seen: ObservedJob, status: FineTuneJobStatus, *, now: datetime) -> str:
    return stamp(running_since(seen, status) or now)


def _training_phase(seen: ObservedJob, status: FineTuneJobStatus, *, is_up: bool) -> JobPhase:
    job = job_of_run(seen, status)
    if run_of(status) is Run.ENDED or (job is not None and job.outcome == "Failed"):
        return "Restarting"
    if job is not None and job.outcome == "Succeeded":
        return "Running"  # for the moment until what it made is read
    if job is not None and job.suspended:
        return "Queued"
    if is_up or _was_up(seen, status):
        return "Running"
    return "Restarting" if status.restarts and (status.attempt or 0) > 1 else "Queued"


def _was_up(seen: ObservedJob, status: FineTuneJobStatus) -> bool:
    """Whether all pods of this attempt once ran: one that is deleted is out of reach for a moment before its Job has failed."""
    before = seen.job.status
    return before is not None and before.phase == "Running" and before.attempt == status.attempt


def _up(pods: tuple[PodView, ...]) -> int:
    """Return how many pods are ready; one that has finished its part well counts, as the others are about to."""
    return sum(pod.ready or _is_done(pod) for pod in pods)


def _is_done(pod: PodView) -> bool:
    """Whether the pod has done its part; the kubelet takes its readiness away some time before it says that it succeeded."""
    return pod.phase == "Succeeded" or (pod.ended is not None and pod.ended.exit_code == 0)


def _gang(seen: ObservedJob, status: FineTuneJobStatus) -> tuple[PodView, ...]:
    job = job_of_run(seen, status)
    if stage_of(status) != "train" or run_of(status) is not Run.CREATED or job is None:
        return ()
    return pods_let_go(seen, job)


def _conditions(
    seen: ObservedJob, status: FineTuneJobStatus, *, pods: tuple[PodView, ...], nodes: int, now: datetime
) -> Conditions:
    conditions = list(status.conditions or ())
    if stage_of(status) == "train" and run_of(status) is Run.CREATED:
        reason, message = _why_not_ready(seen, status, pods=pods, nodes=nodes)
        conditions = with_condition(
            conditions, "PodsReady", true=not reason, reason=reason or "AllReady", message=message, now=now
        )
    elif condition(conditions, "PodsReady") is not None or _has_ended(child_of(status, "train")):
        conditions = with_condition(conditions, "PodsReady", true=False, reason=NO_ATTEMPT, now=now)
    for type_ in _BLOCKERS:
        if seen.blocker is not None and seen.blocker.reason == type_:
            conditions = with_condition(
                conditions, type_, true=True, reason=type_, message=seen.blocker.message, now=now
            )
        elif run_of(status) in {Run.CREATED, Run.DONE}:  # what was in the way no longer is
            conditions = without_condition(conditions, type_)
    return with_health(seen, status, conditions, now=now)


def _has_ended(gang: Child | None) -> bool:
    """Whether a gang is over; it may have come and gone while no operator ran."""
    return gang is not None and bool(gang.ended)


def _why_not_ready(
    seen: ObservedJob, status: FineTuneJobStatus, *, pods: tuple[PodView, ...], nodes: int
) -> tuple[str, str]:
    """Return reason and message, both empty if all pods are ready."""
    job = job_of_run(seen, status)
    if job is not None and job.suspended:
        return QUEUED, "the Job is suspended by a queue"
    if job is not None and job.outcome == "Failed":
        return "GangFailed", "a pod has failed; the others are stopped"
    if refused := _refused(seen, job, missing=len(pods) < nodes):
        return PODS_REFUSED, refused
    for pod in pods:
        if pod.waiting and pod.waiting not in {"ContainerCreating", "PodInitializing"}:
            return "Waiting", f"pod {pod.name}: {pod.waiting} {pod.waiting_message}".strip()
        if pod.unschedulable:
            return "Unschedulable", f"pod {pod.name}: {pod.unschedulable}"
    # how many are ready stands in `workers` alone, where it is paced as progress is: a large gang comes up one pod after another
    return ("", "all pods are ready") if _up(pods) == nodes else ("Starting", "not all pods are ready")


def _refused(seen: ObservedJob, job: JobView | None, *, missing: bool) -> str:
    """Return why pods of the gang could not be created; what an earlier live look told holds as long as pods are missing."""
    if job is None or not missing or seen.live:
        return job.refused if job is not None and missing else ""
    told = condition((seen.job.status.conditions if seen.job.status else None), "PodsReady")
    return told.message if told is not None and told.reason == PODS_REFUSED else ""
