"""Where the next attempt runs: away from bad nodes, and on fewer nodes if there is no room for all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tuneloop_api.v1alpha1.fine_tune_job.status import AvoidedNode
from tuneloop_api.wire.durations import seconds
from tuneloop_api.wire.failure_class import FailureClass
from tuneloop_operator.decide.fine_tune_job.deadlines import waiting_since, waits_for_start
from tuneloop_operator.state.runs import job_of_run, nodes_of, pods_of, refusal_of, stage_of

if TYPE_CHECKING:
    from datetime import datetime

    from tuneloop_api.v1alpha1.fine_tune_job.spec import FineTuneJobSpec
    from tuneloop_api.v1alpha1.fine_tune_job.status import Failure, FineTuneJobStatus
    from tuneloop_operator.state.observed import JobView, ObservedJob, PodView

SHRUNK, READMITTED = "Shrunk", "NodesReadmitted"
"""Reasons in the history of an attempt that was given up: for a smaller attempt, or for an attempt that may run on bad nodes again."""
AVOIDANCE_TIMEOUT_SECONDS = 60.0
"""How long a gang waits for other nodes before the bad nodes may be used again."""
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
"""Classes that a bad node can cause. One such failure may be chance; the second on the same node is not."""


@dataclass(frozen=True, kw_only=True)
class Replan:
    """Why an attempt that finds no nodes is given up, and what the next attempt looks like."""

    reason: str
    """SHRUNK or READMITTED."""
    message: str
    nodes: int | None
    """Number of nodes of the next attempt; None: as many as the spec asks for."""
    avoided: list[AvoidedNode] | None


def with_bad_node(spec: FineTuneJobSpec, status: FineTuneJobStatus, failure: Failure) -> list[AvoidedNode] | None:
    """Return the nodes that later attempts avoid, after a failure that is not in the history yet.

    An empty list means that avoiding nodes left too few of them. From then on no node is avoided.
    """
    avoided, node = status.avoided_nodes, failure.node
    avoids = spec.scheduling is None or spec.scheduling.avoid_bad_nodes is not False
    if not avoids or node is None or avoided == [] or node in {bad.name for bad in avoided or ()}:
        return avoided
    kind = FailureClass(failure.failure_class)
    failed_before = any(
        record.node == node and record.failure_class in _AT_THE_SECOND_TIME for record in status.history or ()
    )
    if kind in _AT_ONCE or (kind in _AT_THE_SECOND_TIME and failed_before):
        return [*(avoided or ()), AvoidedNode(name=node, reason=kind.value)][-_MOST_AVOIDED:]
    return avoided


def replanned(observed: ObservedJob, status: FineTuneJobStatus, *, now: datetime) -> Replan | None:
    """Return the plan of the next attempt if the current one has waited for nodes long enough; None if it still waits or runs."""
    found = _unschedulable_gang(observed, status)
    if found is None:
        return None
    job, pods = found
    waited = (now - waiting_since(job)).total_seconds()
    if status.avoided_nodes and waited >= AVOIDANCE_TIMEOUT_SECONDS:
        names = ", ".join(node.name for node in status.avoided_nodes)
        message = f"there are not enough nodes without {names}"
        return Replan(reason=READMITTED, message=message, nodes=None, avoided=[])
    nodes = _fewer(observed, status, pods)
    if nodes is not None and waited >= _shrink_after(observed):
        return Replan(
            reason=SHRUNK,
            message=f"{nodes_of(observed, status)} nodes cannot be had; {nodes} will do",
            nodes=nodes,
            avoided=status.avoided_nodes,
        )
    return None


def replans_in(observed: ObservedJob, status: FineTuneJobStatus, *, now: datetime) -> float | None:
    """Return the seconds until `replanned` may give the attempt up; None if it never will."""
    found = _unschedulable_gang(observed, status)
    if found is None:
        return None
    waited = (now - waiting_since(found[0])).total_seconds()
    limits = [
        *([AVOIDANCE_TIMEOUT_SECONDS] if status.avoided_nodes else []),
        *([_shrink_after(observed)] if _fewer(observed, status, found[1]) is not None else []),
    ]
    return max(min(limits) - waited, 0.0) if limits else None


def _unschedulable_gang(observed: ObservedJob, status: FineTuneJobStatus) -> tuple[JobView, tuple[PodView, ...]] | None:
    """Return Job and pods of a gang if the API server refuses pods of it, or if some of them find no node."""
    job = job_of_run(observed, status)
    if stage_of(status) != "train" or job is None or not waits_for_start(observed, status, job):
        return None
    pods = pods_of(observed, job)
    is_refused = bool(refusal_of(observed, job, is_missing_pods=len(pods) < nodes_of(observed, status)))
    return (job, pods) if is_refused or any(pod.unschedulable for pod in pods) else None


def _fewer(observed: ObservedJob, status: FineTuneJobStatus, pods: tuple[PodView, ...]) -> int | None:
    """Return the number of nodes of a smaller attempt: as many as run a pod now, but at least `minNodes`. None if the gang has no more than that."""
    scheduling = observed.job.spec.scheduling
    least = scheduling.min_nodes if scheduling else None
    if least is None or nodes_of(observed, status) <= least:
        return None
    return max(least, min(sum(pod.node is not None for pod in pods), nodes_of(observed, status) - 1))


def _shrink_after(observed: ObservedJob) -> float:
    scheduling = observed.job.spec.scheduling
    return seconds((scheduling and scheduling.shrink_after) or _SHRINK_AFTER)
