"""What the training has used. Usage is counted when an attempt ends, and when a queue stops its pods."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneloop_api.v1alpha1.fine_tune_job.status import Usage
from tuneloop_api.wire.model import changed
from tuneloop_operator.state.conditions import moment
from tuneloop_operator.state.runs import nodes_of, pods_of_run, running_since

if TYPE_CHECKING:
    from datetime import datetime

    from tuneloop_api.v1alpha1.fine_tune_job.status import FineTuneJobStatus
    from tuneloop_operator.state.observed import ObservedJob


def with_usage(
    observed: ObservedJob,
    status: FineTuneJobStatus,
    *,
    steps: tuple[int | None, int | None],
    step_seconds: float | None,
    now: datetime,
) -> FineTuneJobStatus:
    """Return the status in which the usage of the gang is counted: from the moment at which all its pods ran until it stopped.

    steps: first and last step of the attempt; None where unknown. step_seconds: time that its steps took.
    """
    since = moment(status.running_since) if status.running_since else running_since(observed, status)
    if since is None:
        return status
    ran = max((_stop_time(observed, status, now=now) - since).total_seconds(), 0.0)
    gpus = nodes_of(observed, status) * observed.settings.gang.gpus_per_node
    usage, (made, lost) = status.usage or Usage(), _made_and_lost(status, steps)
    kept = (step_seconds or 0.0) * ((made - lost) / made if made else 0.0)
    active, useful = usage.active_seconds + ran, usage.useful_seconds + min(kept, ran)
    counted = Usage(
        gpu_seconds=round(usage.gpu_seconds + ran * gpus, 3),
        active_seconds=round(active, 3),
        useful_seconds=round(useful, 3),
        lost_steps=usage.lost_steps + lost,
        goodput=round(useful / active, 4) if active else None,
    )
    return changed(status, usage=counted, running_since=None)


def _made_and_lost(status: FineTuneJobStatus, steps: tuple[int | None, int | None]) -> tuple[int, int]:
    """Return the number of steps that an attempt made, and how many of them no checkpoint holds."""
    start, end = steps
    if start is None or end is None:
        return 0, 0
    made = max(end - start, 0)
    latest = status.checkpoint.latest if status.checkpoint else None
    saved = max(latest.step if latest else 0, start)
    return made, min(max(end - saved, 0), made)


def _stop_time(observed: ObservedJob, status: FineTuneJobStatus, *, now: datetime) -> datetime:
    """Return when the gang stopped, by the end times of its pods.

    If no pod has an end time although none runs, as after a laptop was switched off, the last heartbeat is the end. Else it is now.
    """
    pods = pods_of_run(observed, status)
    if ends := [pod.ended.finished for pod in pods if pod.ended]:
        return min(max(ends), now)
    heartbeat = status.progress.last_heartbeat if status.progress else None
    ended_unobserved = bool(pods) and all(pod.is_terminal for pod in pods)
    return min(moment(heartbeat), now) if ended_unobserved and heartbeat else now
