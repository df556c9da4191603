"""Deadlines that end a run whose pods have not failed: to start, of running time, and of GPU hours."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from tuneloop_api.v1alpha1.fine_tune_job.status import Failure, Usage
from tuneloop_api.wire.durations import seconds
from tuneloop_api.wire.failure_class import FailureClass
from tuneloop_operator.decide.fine_tune_job.classify import not_mounted, not_started, without_image
from tuneloop_operator.decide.fine_tune_job.hints import HINTS
from tuneloop_operator.state.conditions import PODS_REFUSED, condition, moment
from tuneloop_operator.state.runs import job_of_run, nodes_of, pods_expected, pods_of, stage_of
from tuneloop_operator.status.fine_tune_job.progress import duration_text

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from tuneloop_api.v1alpha1.fine_tune_job.status import FineTuneJobStatus
    from tuneloop_operator.settings.operator import OperatorSettings
    from tuneloop_operator.state.observed import JobView, ObservedJob, PodView

_NO_IMAGE = frozenset(
    {
        "ErrImagePull",
        "ImagePullBackOff",
        "ErrImageNeverPull",
        "RegistryUnavailable",
        "ImageInspectError",
        "CreateContainerConfigError",
    }
)
_NEVER = frozenset({"InvalidImageName"})
"""Reasons of a waiting container that never start, however long one waits."""
_REFUSALS_AFTER_SECONDS = 10.0
"""How long pods may be missing before their refusals are read."""


@dataclass(frozen=True, kw_only=True)
class _Deadline:
    """When a run fails, and why."""

    at: datetime
    failure: Failure


def overdue(
    observed: ObservedJob, status: FineTuneJobStatus, *, now: datetime, settings: OperatorSettings
) -> Failure | None:
    """Return the failure of the deadline that passed first; None if none has passed."""
    passed = [deadline for deadline in _deadlines(observed, status, settings=settings) if deadline.at <= now]
    return min(passed, key=lambda deadline: deadline.at).failure if passed else None


def requeue_after(
    observed: ObservedJob, status: FineTuneJobStatus, *, now: datetime, settings: OperatorSettings
) -> float | None:
    """Return the seconds until the next deadline; None if there is none."""
    left = [(deadline.at - now).total_seconds() for deadline in _deadlines(observed, status, settings=settings)]
    return max(min(left), 0.0) if left else None


def waits_for_start(observed: ObservedJob, status: FineTuneJobStatus, job: JobView) -> bool:
    """Whether the pods of a run have never all run, although no queue suspends its Job."""
    if job.suspended or job.deleting or job.outcome is not None:
        return False
    if stage_of(status) == "train":
        return status.running_since is None
    return all(pod.phase == "Pending" and pod.started is None for pod in pods_of(observed, job))


def waiting_since(job: JobView) -> datetime:
    """Return since when a Job may have pods: its creation, or the moment at which a queue admitted it."""
    return max(job.started, job.created) if job.started else job.created


def refusals_in(observed: ObservedJob, status: FineTuneJobStatus, *, now: datetime) -> float | None:
    """Return the seconds until the refusals of missing pods are to be read; None if no pod is missing, or a refusal is in the status."""
    job = job_of_run(observed, status)
    if job is None or not waits_for_start(observed, status, job):
        return None
    pods = pods_of(observed, job)
    ready = condition(status.conditions, "PodsReady")
    if len(pods) >= pods_expected(observed, status) or (ready is not None and ready.reason == PODS_REFUSED):
        return None
    newest = max((waiting_since(job), *(pod.created for pod in pods)))
    left = _REFUSALS_AFTER_SECONDS - (now - newest).total_seconds()
    return max(left, _REFUSALS_AFTER_SECONDS if observed.live else 0.0)


def _deadlines(observed: ObservedJob, status: FineTuneJobStatus, *, settings: OperatorSettings) -> Iterator[_Deadline]:
    job = job_of_run(observed, status)
    if job is None:
        return
    never = next((pod for pod in pods_of(observed, job) if pod.waiting in _NEVER and pod.started is None), None)
    if never is not None and job.outcome is None:
        yield _Deadline(at=never.created, failure=without_image(never))
    if waits_for_start(observed, status, job):
        yield from _start_deadlines(observed, status, job, settings=settings)
    if status.running_since is not None:
        yield from _running_deadlines(observed, status, since=moment(status.running_since))


def _start_deadlines(
    observed: ObservedJob, status: FineTuneJobStatus, job: JobView, *, settings: OperatorSettings
) -> Iterator[_Deadline]:
    pods = pods_of(observed, job)
    policy = observed.job.spec.failure_policy
    given = policy.start_deadline if policy else None
    start_deadline = timedelta(seconds=seconds(given) if given else settings.start_deadline_seconds)
    failure = _why_not_started(observed, status, job, pods, start_deadline=start_deadline)
    yield _Deadline(at=waiting_since(job) + start_deadline, failure=failure)


def _why_not_started(
    observed: ObservedJob,
    status: FineTuneJobStatus,
    job: JobView,
    pods: tuple[PodView, ...],
    *,
    start_deadline: timedelta,
) -> Failure:
    stage = stage_of(status)
    late = f"not started within {duration_text(int(start_deadline.total_seconds()))}"
    for pod in pods:
        if pod.waiting in _NO_IMAGE:
            return without_image(pod)
        if pod.mount_failure:
            return not_mounted(pod)
        if pod.unschedulable:
            return not_started(f"{late}: pod {pod.name} found no node: {pod.unschedulable}", stage=stage, pod=pod)
        if pod.waiting:
            reason = f"{pod.waiting} {pod.waiting_message}".strip()
            return not_started(f"{late}: pod {pod.name}: {reason}", stage=stage, pod=pod)
    if job.refusal:
        return not_started(f"{late}: the API server refused the pods of Job {job.name}: {job.refusal}", stage=stage)
    expected = pods_expected(observed, status)
    return not_started(f"{late}: {len(pods)} of {expected} pods were created for Job {job.name}", stage=stage)


def _running_deadlines(observed: ObservedJob, status: FineTuneJobStatus, *, since: datetime) -> Iterator[_Deadline]:
    spec, usage = observed.job.spec, status.usage or Usage()
    if spec.active_deadline_seconds is not None:
        left = spec.active_deadline_seconds - usage.active_seconds
        text = f"training has run for {spec.active_deadline_seconds} s in all (activeDeadlineSeconds)"
        yield _Deadline(at=since + timedelta(seconds=left), failure=_exceeded(FailureClass.DEADLINE_EXCEEDED, text))
    gpus = nodes_of(observed, status) * observed.settings.gang.gpus_per_node
    most = spec.budget.max_gpu_hours if spec.budget else None
    if most is not None and gpus:
        left = (most * 3600 - usage.gpu_seconds) / gpus
        text = f"training has used {most:g} GPU hours in all (budget.maxGpuHours)"
        # a datetime has a largest value
        yield _Deadline(
            at=since + timedelta(seconds=min(left, 1e9)), failure=_exceeded(FailureClass.BUDGET_EXCEEDED, text)
        )


def _exceeded(kind: FailureClass, message: str) -> Failure:
    return Failure(failure_class=kind.value, stage="train", message=message, hint=HINTS[kind], retryable=False)
