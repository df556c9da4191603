"""What the training has used: counted when an attempt ends, or when its pods stop running for another reason."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneloop_api.contract.defaults import with_defaults
from tuneloop_api.v1alpha1.fine_tune_job.status import Usage
from tuneloop_operator.state.conditions import moment
from tuneloop_operator.state.runs import nodes_of, pods_of_run, running_since

if TYPE_CHECKING:
    from datetime import datetime

    from tuneloop_api.v1alpha1.fine_tune_job.status import FineTuneJobStatus
    from tuneloop_operator.state.observed import ObservedJob


def with_usage(
    seen: ObservedJob,
    status: FineTuneJobStatus,
    *,
    steps: tuple[int | None, int | None],
    step_seconds: float | None,
    now: datetime,
) -> FineTuneJobStatus:
    """Return the status with the time that all pods of the gang ran, which is over then.

    steps: first and last step of the attempt, as far as they are known. step_seconds: time that its steps took.
    """
    since = moment(status.running_since) if status.running_since else running_since(seen, status)
    if since is None:
        return status
    ran = max((_stopped(seen, status, now=now) - since).total_seconds(), 0.0)
    gpus = nodes_of(seen, status) * with_defaults(seen.job.spec).gang.gpus_per_node
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
    return status.model_copy(update={"usage": counted, "running_since": None})


def _made_and_lost(status: FineTuneJobStatus, steps: tuple[int | None, int | None]) -> tuple[int, int]:
    """Return the steps that an attempt has made, and how many of them no checkpoint holds."""
    start, end = steps
    if start is None or end is None:
        return 0, 0
    made = max(end - start, 0)
    latest = status.checkpoint.latest if status.checkpoint else None
    saved = max(latest.step if latest else 0, start)
    return made, min(max(end - saved, 0), made)


def _stopped(seen: ObservedJob, status: FineTuneJobStatus, *, now: datetime) -> datetime:
    """Return when the gang stopped: its pods know better than the time at which it was noticed.

    Where all ended unseen, as when a laptop was switched off, it is the last time that one was heard of.
    """
    pods = pods_of_run(seen, status)
    if ends := [pod.ended.finished for pod in pods if pod.ended]:
        return min(max(ends), now)
    heard = status.progress.last_heartbeat if status.progress else None
    ended_unseen = bool(pods) and all(pod.is_terminal for pod in pods)
    return min(moment(heard), now) if ended_unseen and heard else now
