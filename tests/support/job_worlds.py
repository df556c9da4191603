"""The worlds that a job can be in: its status, its Jobs and pods, what the watch has shown the operator, and what is on its way. No I/O.

`operator_in_worlds` and `cluster_in_worlds` say what may happen next in a world.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

FAILURES = {"config": 78, "collective": 77, "evicted": 143}
MORE_FAILURES = {"data lost": 81, "not finite": 76}
NODE_FAILURES = {"node lost": 143, "preempted": 143}
EXIT_CODES = FAILURES | MORE_FAILURES | NODE_FAILURES
"""Exit code by the way in which a pod ends; one without an image never starts, and never ends."""
DISRUPTIONS = {
    "evicted": "EvictionByEvictionAPI",
    "node lost": "DeletionByTaintManager",
    "preempted": "PreemptionByScheduler",
}
CLUSTER_FAULTS = ("held", "no room", "refused", "late")
"""What a cluster does to a gang besides ending its pods: a queue takes its nodes back, a pod finds no node, a quota refuses its pods, the
answer to its creation is lost and the Job comes later."""
ALIVE = {"running", "imageless", "no room"}


@dataclass(frozen=True, order=True)
class Pod:
    owner: str
    """Uid of its Job."""
    index: int
    state: str = "running"
    """running, succeeded, imageless, no room, or a way in which pods end."""
    deleted: bool = False
    round: int = 0
    """Of its Job, when it was made."""


@dataclass(frozen=True, order=True)
class Job:
    name: str
    uid: str
    outcome: str = ""
    deleting: bool = False
    """In the foreground: it stays until its pods are gone."""
    nodes: int = 1
    held: bool = False
    """A queue has suspended it."""
    round: int = 0
    """How often a queue has resumed it: a minute passes each time, which distinguishes the pods of an earlier round."""
    refused: bool = False
    """A quota refuses its pods."""

    @property
    def stage(self) -> str:
        last = self.name.rsplit("-", 1)[-1]
        return last if last in {"prepare", "export"} else "train"

    @property
    def attempt(self) -> int:
        return int(self.name.rsplit("-a", 1)[-1]) if self.stage == "train" else 0


Cluster = tuple[tuple[Job, ...], tuple[Pod, ...]]
Write = tuple[str, str, int]
"""Verb, what it is about, and the nodes of a Job."""


@dataclass(frozen=True)
class World:
    status: str = "{}"
    suspend: bool = False
    cluster: Cluster = ((), ())
    view: Cluster = ((), ())
    """What the watch has shown the operator."""
    pending: tuple[Write, ...] = ()
    decided_on: bool = False
    """Whether the job was suspended when `pending` was decided: the write of the status fails if that has changed."""
    created: tuple[str, ...] = ()
    late: tuple[tuple[str, int], ...] = ()
    """Names and nodes of Jobs whose creation is still on its way, although nobody waits for the answer."""
    gangs: int = 0
    """How often a gang has begun to run."""
    faults: int = 0
    """How many more failures, deletions by hand and crashes there may be."""
    toggles: int = 0

    @property
    def finished(self) -> bool:
        conditions = parsed(self.status).get("conditions", ())
        return any(known["type"] in {"Complete", "Failed"} and known["status"] == "True" for known in conditions)


@cache
def parsed(status: str) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(status)
    return value


def landed(world: World, name: str, nodes: int) -> World:
    """Return the world in which the API server has created this Job."""
    jobs, pods = world.cluster
    made = Job(name=name, uid=f"{name}#{world.created.count(name) + 1}", nodes=nodes)
    created = tuple(sorted((*world.created, name)))
    return replace(world, cluster=(tuple(sorted((*jobs, made))), pods), created=created)


def without_job(cluster: Cluster, uid: str) -> Cluster:
    jobs, pods = cluster
    kept = tuple(job for job in jobs if job.uid != uid)
    if kept == jobs:
        return cluster
    left = [pod for pod in pods if pod.owner != uid]
    return kept, tuple(
        sorted((*left, *(pod for pod in with_pods_deleted(pods, uid) if pod.owner == uid and pod.deleted)))
    )


def with_pods_deleted(pods: tuple[Pod, ...], uid: str) -> tuple[Pod, ...]:
    """Return the pods; those of this Job that have not ended are marked as deleted."""
    return tuple(sorted(replace(pod, deleted=(pod.owner == uid and pod.state in ALIVE) or pod.deleted) for pod in pods))
