"""Where the next attempt may run: away from bad nodes, and smaller where there is no room for all of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tuneloop_api.v1alpha1.fine_tune_job.status import AvoidedNode
from tuneloop_api.wire.durations import seconds
from tuneloop_api.wire.failure_class import FailureClass
from tuneloop_operator.decide.fine_tune_job.deadlines import waiting_since, waits_for_start
from tuneloop_operator.state.runs import job_of_run, nodes_of, pods_of, stage_of

if TYPE_CHECKING:
    from datetime import datetime

    from tuneloop_api.v1alpha1.fine_tune_job.spec import FineTuneJobSpec
    from tuneloop_api.v1alpha1.fine_tune_job.status import Failure, FineTuneJobStatus
    from tuneloop_operator.state.observed import JobView, ObservedJob, PodView

SHRUNK, READMITTED = "Shrunk", "NodesReadmitted"
"""How an attempt ended that was given up for a smaller one, or for one that takes bad nodes, too."""
RELENT_SECONDS = 60.0
"""How long a gang looks for nodes beside the bad ones."""
_SHRINK_AFTER = "15m"
_MOST_AVOIDED = 32
_AT_ONCE = frozenset({FailureClass.NODE_LOST})
_AT_THE_SECOND_TIME = frozenset(
    {
        FailureClass.HANG,
        FailureClass.COLLECTIVE,
        FailureClass.UNKNOWN,
        FailureClass.STORAGE,
        FailureClass.OUT_OF_MEMORY_HOST,
        FailureClass.NON_FINITE_LOSS,
    }
)
"""Classes that a bad node may be behind; once may be chance."""


@dataclass(frozen=True, kw_only=True)
class Replan:
    """Why an attempt that finds no nodes is given up for another one."""

    reason: str
    """SHRUNK or READMITTED."""
    message: str
    nodes: int | None
    """Of the next attempt; None: all."""
    avoided: list[AvoidedNode] | None


def with_bad_node(spec: FineTuneJobSpec, status: FineTuneJobStatus, failure: Failure) -> list[AvoidedNode] | None:
    """Return the nodes to stay away from after a failure that is not in the history yet.

    An empty list says that there were not enough nodes without them: from then on a bad node is better than none.
    """
    avoided, node = status.avoided_nodes, failure.node
    wanted = spec.scheduling is None or spec.scheduling.avoid_bad_nodes is not False
    if not wanted or node is None or avoided == [] or node in {one.name for one in avoided or ()}:
        return avoided
    kind = FailureClass(failure.failure_class)
    before = any(record.node == node and record.failure_class in _AT_THE_SECOND_TIME for record in status.history or ())
    if kind in _AT_ONCE or (kind in _AT_THE_SECOND_TIME and before):
        return [*(avoided or ()), AvoidedNode(name=node, reason=kind.value)][-_MOST_AVOIDED:]
    return avoided


def replanned(seen: ObservedJob, status: FineTuneJobStatus, *, now: datetime) -> Replan | None:
    """Return the plan of the next attempt if the current one has looked for nodes long enough; None if it goes on."""
    found = _unschedulable_gang(seen, status)
    if found is None:
        return None
    job, pods = found
    waited = (now - waiting_since(job)).total_seconds()
    if status.avoided_nodes and waited >= RELENT_SECONDS:
        names = ", ".join(one.name for one in status.avoided_nodes)
        message = f"there are not enough nodes without {names}"
        return Replan(reason=READMITTED, message=message, nodes=None, avoided=[])
    nodes = _fewer(seen, status, pods)
    if nodes is not None and waited >= _shrink_after(seen):
        return Replan(
            reason=SHRUNK,
            message=f"{nodes_of(seen, status)} nodes cannot be had; {nodes} will do",
            nodes=nodes,
            avoided=status.avoided_nodes,
        )
    return None


def replans_in(seen: ObservedJob, status: FineTuneJobStatus, *, now: datetime) -> float | None:
    """Return the seconds until `replanned` may give up; None if it will not."""
    found = _unschedulable_gang(seen, status)
    if found is None:
        return None
    waited = (now - waiting_since(found[0])).total_seconds()
    limits = [
        *([RELENT_SECONDS] if status.avoided_nodes else []),
        *([_shrink_after(seen)] if _fewer(seen, status, found[1]) is not None else []),
    ]
    return max(min(limits) - waited, 0.0) if limits else None


def _unschedulable_gang(seen: ObservedJob, status: FineTuneJobStatus) -> tuple[JobView, tuple[PodView, ...]] | None:
    """Return Job and pods of a gang of which some pods have no node."""
    job = job_of_run(seen, status)
    if stage_of(status) != "train" or job is None or not waits_for_start(seen, status, job):
        return None
    pods = pods_of(seen, job)
    return (job, pods) if job.refused or any(pod.unschedulable for pod in pods) else None


def _fewer(seen: ObservedJob, status: FineTuneJobStatus, pods: tuple[PodView, ...]) -> int | None:
    """Return the nodes of a smaller attempt: as many as have a pod now, and not below the least; None if it is as small as it may be."""
    scheduling = seen.job.spec.scheduling
    least = scheduling.min_nodes if scheduling else None
    if least is None or nodes_of(seen, status) <= least:
        return None
    return max(least, min(sum(pod.node is not None for pod in pods), nodes_of(seen, status) - 1))


def _shrink_after(seen: ObservedJob) -> float:
    scheduling = seen.job.spec.scheduling
    return seconds((scheduling and scheduling.shrink_after) or _SHRINK_AFTER)
