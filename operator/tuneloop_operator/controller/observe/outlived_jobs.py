"""Jobs that have ended for us, and that containers of others keep from ending: a mesh's proxy runs on beside our container that has ended."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tuneloop_operator.state.observed import JobView, PodView


def with_outcome_of_pods(job: JobView, pods: Iterable[PodView], *, parallelism: int) -> JobView:
    """Return a Job with the outcome that our containers show, where containers of others keep the Job controller from declaring one.

    pods: those of the Job. Without such containers the Job is returned as it is, because the Job controller declares its outcome soon.
    """
    ends = {pod: pod.ended for pod in pods if pod.ended is not None and pod.deletion_asked is None}
    outlived = {pod: end for pod, end in ends.items() if pod.is_outlived}
    if not outlived or job.outcome is not None or job.suspended or job.deleting:
        return job
    failed = [end.finished for end in outlived.values() if end.exit_code]
    if failed:
        return replace(job, outcome="Failed", outcome_since=min(failed), is_outlived=True)
    if len({pod.index for pod, end in ends.items() if not end.exit_code}) < parallelism:
        return job
    finished = max(end.finished for end in ends.values())
    return replace(job, outcome="Succeeded", outcome_since=finished, is_outlived=True)
