"""The clocks that end a run although its pods have not failed: it does not start, it has run long enough, it has cost enough."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from tuneloop_api.contract.defaults import with_defaults
from tuneloop_api.v1alpha1.fine_tune_job.status import Failure, Usage
from tuneloop_api.wire.durations import seconds
from tuneloop_api.wire.failure_class import FailureClass
from tuneloop_operator.decide.fine_tune_job.classify import not_started, without_image
from tuneloop_operator.decide.fine_tune_job.hints import HINTS
from tuneloop_operator.state.conditions import PODS_REFUSED, condition, moment
from tuneloop_operator.state.runs import job_of_run, nodes_of, pods_of, stage_of
from tuneloop_operator.status.fine_tune_job.progress import duration_text

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from tuneloop_api.v1alpha1.fine_tune_job.status import FineTuneJobStatus
    from tuneloop_operator.settings.operator import OperatorSettings
    from tuneloop_operator.state.observed import JobView, ObservedJob, PodView

_NO_IMAGE = frozenset({"ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull", "CreateContainerConfigError"})
_NEVER = frozenset({"InvalidImageName"})
"""Reasons of a waiting container that no time mends."""


_ASK_SECONDS = 10.0
"""How long pods may be missing before the API server is asked why."""


@dataclass(frozen=True, kw_only=True)
class _Clock:
    """When a run is over, and why."""

    at: datetime
    failure: Failure


def overdue(
    seen: ObservedJob, status: FineTuneJobStatus, *, now: datetime, settings: OperatorSettings
) -> Failure | None:
    """Return why the current run has to end now; None if it may go on."""
    struck = [clock for clock in _clocks(seen, status, settings=settings) if clock.at <= now]
    return min(struck, key=lambda clock: clock.at).failure if struck else None


def requeue_after(
    seen: ObservedJob, status: FineTuneJobStatus, *, now: datetime, settings: OperatorSettings
) -> float | None:
    """Return the seconds until the next clock strikes; None if none runs."""
    left = [(clock.at - now).total_seconds() for clock in _clocks(seen, status, settings=settings)]
    return max(min(left), 0.0) if left else None


def waits_for_start(seen: ObservedJob, status: FineTuneJobStatus, job: JobView) -> bool:
    """Whether the pods of a run, which no queue holds, have never all run."""
    if job.suspended or job.deleting or job.outcome is not None:
        return False
    if stage_of(status) == "train":
        return status.running_since is None
    return not any(pod.phase != "Pending" for pod in pods_of(seen, job))


def waiting_since(job: JobView) -> datetime:
    """Return since when a Job may have pods: its creation, or the moment at which a queue let it go."""
    return max(job.started, job.created) if job.started else job.created


def asks_in(seen: ObservedJob, status: FineTuneJobStatus, *, now: datetime) -> float | None:
    """Return the seconds until the API server is asked why pods of a gang are missing; only its Events tell, which are not watched."""
    job = job_of_run(seen, status)
    if job is None or not waits_for_start(seen, status, job):
        return None
    pods = pods_of(seen, job)
    told = condition(status.conditions, "PodsReady")
    if len(pods) >= nodes_of(seen, status) or (told is not None and told.reason == PODS_REFUSED):
        return None
    newest = max((waiting_since(job), *(pod.created for pod in pods)))
    left = _ASK_SECONDS - (now - newest).total_seconds()
    return max(left, _ASK_SECONDS if seen.live else 0.0)


def _clocks(seen: ObservedJob, status: FineTuneJobStatus, *, settings: OperatorSettings) -> Iterator[_Clock]:
    job = job_of_run(seen, status)
    if job is None:
        return
    never = next((pod for pod in pods_of(seen, job) if pod.waiting in _NEVER), None)
    if never is not None and job.outcome is None:
        yield _Clock(at=never.created, failure=without_image(never))
    if waits_for_start(seen, status, job):
        yield from _start_clocks(seen, status, job, settings=settings)
    if status.running_since is not None:
        yield from _running_clocks(seen, status, since=moment(status.running_since))


def _start_clocks(
    seen: ObservedJob, status: FineTuneJobStatus, job: JobView, *, settings: OperatorSettings
) -> Iterator[_Clock]:
    pods = pods_of(seen, job)
    policy = seen.job.spec.failure_policy
    given = policy.start_deadline if policy else None
    start_deadline = timedelta(seconds=seconds(given) if given else settings.start_deadline_seconds)
    failure = _why_not_started(seen, status, job, pods, start_deadline=start_deadline)
    yield _Clock(at=waiting_since(job) + start_deadline, failure=failure)


def _why_not_started(
    seen: ObservedJob, status: FineTuneJobStatus, job: JobView, pods: tuple[PodView, ...], *, start_deadline: timedelta
) -> Failure:
    stage = stage_of(status)
    begin = f"not started within {duration_text(int(start_deadline.total_seconds()))}"
    for pod in pods:
        if pod.waiting in _NO_IMAGE:
            return without_image(pod)
        if pod.unschedulable:
            return not_started(f"{begin}: pod {pod.name} found no node: {pod.unschedulable}", stage=stage, pod=pod)
        if pod.waiting:
            said = f"{pod.waiting} {pod.waiting_message}".strip()
            return not_started(f"{begin}: pod {pod.name}: {said}", stage=stage, pod=pod)
    if job.refused:
        return not_started(f"{begin}: the API server refused the pods of Job {job.name}: {job.refused}", stage=stage)
    wanted = nodes_of(seen, status) if stage == "train" else 1
    return not_started(f"{begin}: {len(pods)} of {wanted} pods were created for Job {job.name}", stage=stage)


def _running_clocks(seen: ObservedJob, status: FineTuneJobStatus, *, since: datetime) -> Iterator[_Clock]:
    spec, usage = seen.job.spec, status.usage or Usage()
    if spec.active_deadline_seconds is not None:
        left = spec.active_deadline_seconds - usage.active_seconds
        text = f"training has run for {spec.active_deadline_seconds} s in all (activeDeadlineSeconds)"
        yield _Clock(at=since + timedelta(seconds=left), failure=_over(FailureClass.DEADLINE_EXCEEDED, text))
    gpus = nodes_of(seen, status) * with_defaults(spec).gang.gpus_per_node
    most = spec.budget.max_gpu_hours if spec.budget else None
    if most is not None and gpus:
        left = (most * 3600 - usage.gpu_seconds) / gpus
        text = f"training has used {most:g} GPU hours in all (budget.maxGpuHours)"
        # a date has an end; nobody waits for it
        yield _Clock(at=since + timedelta(seconds=min(left, 1e9)), failure=_over(FailureClass.BUDGET_EXCEEDED, text))


def _over(kind: FailureClass, message: str) -> Failure:
    return Failure(failure_class=kind.value, stage="train", message=message, hint=HINTS[kind], retryable=False)
