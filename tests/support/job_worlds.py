"""The worlds that a job can be in, and what may happen next in each: moves of the operator, of the cluster, and faults. No I/O.

The operator is the real `decide`, as it works on a cluster of several nodes. Its writes are carried out one by one, and it may be
killed between any two. What the watch has shown it may be out of date. Time stands still at a moment at which every delay
is over: each gang that ran has run for a day.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING, Any

from stage_messages import success

from tuneloop_api.v1alpha1 import FineTuneJob
from tuneloop_operator.decide.fine_tune_job.job import decide
from tuneloop_operator.desired.fine_tune_job.network_policy import gang_policy
from tuneloop_operator.desired.fine_tune_job.service import rendezvous_service
from tuneloop_operator.settings.operator import OperatorSettings
from tuneloop_operator.state.observed import ContainerEnd, JobView, ObservedJob, PodView

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

THEN = datetime(2026, 1, 1, tzinfo=UTC)
NOW = THEN + timedelta(days=1)
NEVER = THEN + timedelta(days=1000)
SETTINGS = OperatorSettings(default_claim="models")
FAILURES = {"config": 78, "collective": 77, "evicted": 143}
MORE_FAILURES = {"data lost": 81, "not finite": 76}
NODE_FAILURES = {"node lost": 143, "preempted": 143}
_EXIT_CODES = FAILURES | MORE_FAILURES | NODE_FAILURES
"""Exit code by the way in which a pod ends; one without an image never starts, and never ends."""
_DISRUPTIONS = {
    "evicted": "EvictionByEvictionAPI",
    "node lost": "DeletionByTaintManager",
    "preempted": "PreemptionByScheduler",
}
CLUSTER_FAULTS = ("held", "no room", "refused", "late")
"""What a cluster does to a gang besides ending its pods: a queue takes its nodes back, a pod finds no node, a quota refuses its pods, the
answer to its creation is lost and the Job comes later."""
_ALIVE = {"running", "imageless", "no room"}


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


@cache
def decided(status: str, suspend: bool, cluster: Cluster, live: bool, gang: int) -> tuple[bool, tuple[Write, ...]]:
    """Return whether the decision needs the live objects, and the writes in their order."""
    jobs, pods = cluster
    job = fine_tune_job(status, suspend, gang)
    observed = ObservedJob(
        job=job,
        manifest={},
        jobs=tuple(job_view(found, live=live) for found in jobs),
        pods=tuple(pod_view(pod) for pod in pods),
        present={
            ("Service", "r-train"): rendezvous_service(job),
            ("NetworkPolicy", "r-train"): gang_policy(job),
        },
        live=live,
    )
    decision = decide(observed, now=NOW, settings=SETTINGS)
    writes = [("status", steady(decision.status), 0)] if decision.status is not None else []
    writes += [("delete", deletion.uid, 0) for deletion in decision.delete]
    writes += [
        ("create", made["metadata"]["name"], made["spec"].get("completions", 1))
        for made in decision.create
        if made["kind"] == "Job"
    ]
    return decision.needs is not None, tuple(writes)


def fine_tune_job(status: str, suspend: bool, gang: int) -> FineTuneJob:
    spec = {
        "model": {"uri": "hf://a/b"},
        "task": "text-classification",
        "data": {"train": [{"uri": "pvc://models/x.csv"}]},
        "resources": {"nodes": gang, "gpusPerNode": 0},
        "scheduling": {"minNodes": 1},
        "failurePolicy": {"maxRestarts": 1, "maxDisruptions": 2, "startDeadline": "9999d"},
        "suspend": suspend,
    }
    metadata = {"name": "r", "namespace": "n", "uid": "0123456789"}
    manifest = {"apiVersion": "tuneloop.dev/v1alpha1", "kind": "FineTuneJob", "metadata": metadata, "spec": spec}
    return FineTuneJob.from_wire(manifest | {"status": json.loads(status)})


def steady(status: dict[str, Any]) -> str:
    """Return the status as text in which every time is the same: states must not differ by when they were reached."""
    text = json.dumps(status, sort_keys=True)
    return text.replace(NOW.strftime("%Y-%m-%dT%H:%M:%SZ"), THEN.strftime("%Y-%m-%dT%H:%M:%SZ"))


def job_view(job: Job, *, live: bool) -> JobView:
    return JobView(
        name=job.name,
        uid=job.uid,
        stage=job.stage,  # type: ignore[arg-type]  # one of the three
        attempt=job.attempt,
        created=THEN,
        started=None if job.held else THEN + timedelta(minutes=job.round),
        suspended=job.held,
        refusal=("exceeded quota: few" if job.refused else "") if live else None,
        deleting=job.deleting,
        outcome=job.outcome or None,  # type: ignore[arg-type]  # Succeeded or Failed
        outcome_since=THEN if job.outcome else None,
    )


def pod_view(pod: Pod) -> PodView:
    owner = pod.owner.split("#")[0]
    job = Job(name=owner, uid=pod.owner)
    end, phase = None, "Pending" if pod.state in {"imageless", "no room"} else "Running"
    if pod.state == "succeeded":
        text = success(job.stage, index=pod.index)
        end, phase = ContainerEnd(exit_code=0, message=text, finished=NOW), "Succeeded"
    elif pod.state in _EXIT_CODES:
        end, phase = ContainerEnd(exit_code=_EXIT_CODES[pod.state], finished=NOW), "Failed"
    return PodView(
        name=f"{owner}-{pod.index}",
        uid=f"{pod.owner}-{pod.index}",
        stage=job.stage,  # type: ignore[arg-type]  # one of the three
        attempt=job.attempt,
        owner=pod.owner,
        index=pod.index,
        phase=phase,
        node=None if pod.state == "no room" else f"node-{pod.index}",
        created=THEN + timedelta(minutes=pod.round),
        ready=phase == "Running",
        started=None if phase == "Pending" else THEN + timedelta(minutes=pod.round),
        ended=end,
        waiting="InvalidImageName" if pod.state == "imageless" else "",
        unschedulable="0/1 nodes are available" if pod.state == "no room" else "",
        disruption=_DISRUPTIONS.get(pod.state, ""),
        deletion_asked=NOW if pod.deleted else None,
        gone_by=NEVER if pod.deleted else None,
    )


def operator_moves(world: World, gang: int) -> Iterator[tuple[str, World]]:
    """Yield what the operator does next; nothing if it waits."""
    if world.pending:
        yield "write", written(world)
        return
    needs_live, writes = decided(world.status, world.suspend, world.view, False, gang)
    view = world.view
    if needs_live:
        view = world.cluster
        needs_more, writes = decided(world.status, world.suspend, view, True, gang)
        assert not needs_more, "a decision on live objects needs nothing more"
    if writes or view != world.view:
        yield "decide", replace(world, view=view, pending=writes, decided_on=world.suspend)


def written(world: World) -> World:
    (kind, what, nodes), rest = world.pending[0], world.pending[1:]
    jobs, _ = world.cluster
    if kind == "status":
        if world.decided_on != world.suspend:
            return replace(world, pending=(), view=world.cluster)  # the API server says Conflict
        return replace(world, status=what, pending=rest)
    if kind == "delete":
        return replace(world, cluster=without_job(world.cluster, what), pending=rest)
    if any(job.name == what for job in jobs):
        return replace(world, view=world.cluster, pending=rest)  # AlreadyExists, and ours
    after = landed(world, what, nodes)
    made = next(job for job in after.cluster[0] if job.name == what)
    view = (tuple(sorted({*world.view[0], made})), world.view[1])
    return replace(after, view=view, pending=rest)


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
    return tuple(
        sorted(replace(pod, deleted=(pod.owner == uid and pod.state in _ALIVE) or pod.deleted) for pod in pods)
    )


def cluster_moves(world: World) -> Iterator[tuple[str, World]]:
    """Yield what the cluster may do next without a fault."""
    jobs, pods = world.cluster
    if world.view != world.cluster:
        yield "watch", replace(world, view=world.cluster)
    for job in jobs:
        for name, cluster in job_moves(world.cluster, job):
            has_begun = name == "start" and job.stage == "train"
            yield name, replace(world, cluster=cluster, gangs=world.gangs + has_begun)
    for pod in pods:
        others = tuple(other for other in pods if other != pod)
        if pod.deleted:
            yield "gone", replace(world, cluster=(jobs, others))
        elif pod.state in {"running", "no room"}:
            next_state = "succeeded" if pod.state == "running" else "running"
            changed_pods = tuple(sorted((*others, replace(pod, state=next_state))))
            yield "succeed" if pod.state == "running" else "room", replace(world, cluster=(jobs, changed_pods))
    for name, nodes in world.late:
        left = tuple(item for item in world.late if item != (name, nodes))
        # a name is never free again for a request that was sent before: it was on its way for seconds
        yield "land", replace(landed(world, name, nodes) if name not in world.created else world, late=left)
    if world.suspend:
        yield "resume", replace(world, suspend=False)


def job_moves(cluster: Cluster, job: Job) -> Iterator[tuple[str, Cluster]]:
    """Yield what the Job controller, a queue and a quota may do."""
    jobs, pods = cluster
    mine = [pod for pod in pods if pod.owner == job.uid]
    if job.deleting:
        if not any(pod.deleted for pod in mine):
            yield "gone", without_job(cluster, job.uid)
    elif job.refused:
        yield "allow", (with_facts(jobs, job, refused=False), pods)
    elif job.held:
        if not any(pod.state in _ALIVE for pod in mine):
            yield "admit", (with_facts(jobs, job, held=False, round=job.round + 1), pods)
    elif not job.outcome:
        missing = [index for index in range(job.nodes) if index not in {pod.index for pod in mine if in_play(pod)}]
        if missing:
            made = [Pod(owner=job.uid, index=index, round=job.round) for index in missing]
            kept = [pod for pod in pods if pod not in mine or in_play(pod)]
            yield "start", (jobs, tuple(sorted((*kept, *made))))
        elif all(pod.state == "succeeded" for pod in mine):
            yield "complete", (with_facts(jobs, job, outcome="Succeeded"), pods)
        if any(pod.state in _EXIT_CODES for pod in mine):
            yield "fail", (with_facts(jobs, job, outcome="Failed"), with_pods_deleted(pods, job.uid))


def in_play(pod: Pod) -> bool:
    """Return whether a pod fills its place in a gang; a pod that a queue took from a gang before resuming it does not."""
    return not (pod.deleted and pod.state in _ALIVE)


def faults(world: World, failures: Collection[str] = FAILURES) -> Iterator[tuple[str, World]]:
    """Yield what may go wrong next: `failures` names the ways in which pods end, and those of CLUSTER_FAULTS."""
    jobs, pods = world.cluster
    if world.toggles and not world.suspend:
        yield "suspend", replace(world, suspend=True, toggles=world.toggles - 1)
    if not world.faults:
        return
    poorer = replace(world, faults=world.faults - 1)
    yield "crash", replace(poorer, pending=(), view=world.cluster)
    for job in jobs:
        yield "delete by hand", replace(poorer, cluster=without_job(world.cluster, job.uid))
        marked = tuple(sorted(replace(found, deleting=found == job or found.deleting) for found in jobs))
        yield "delete by hand", replace(poorer, cluster=(marked, with_pods_deleted(pods, job.uid)))
    for pod in pods:
        others = [other for other in pods if other != pod]
        ways = [way for way in ("imageless", *failures) if way == "imageless" or way in _EXIT_CODES]
        for failure in ways if pod.state == "running" and not pod.deleted else ():
            ended = tuple(sorted((*others, replace(pod, state=failure))))
            yield failure, replace(poorer, cluster=(jobs, ended))
    yield from cluster_faults(poorer, failures)


def cluster_faults(world: World, failures: Collection[str]) -> Iterator[tuple[str, World]]:
    """Yield what a queue, a scheduler, a quota and a slow API server may do to a gang."""
    jobs, pods = world.cluster
    if "late" in failures and world.pending and world.pending[0][0] == "create":
        _, name, nodes = world.pending[0]
        late = tuple(sorted({*world.late, (name, nodes)}))
        yield "late", replace(world, late=late, pending=(), view=world.cluster)
    for job in jobs:
        if job.stage != "train" or job.outcome or job.deleting or job.held or job.refused:
            continue
        mine = [pod for pod in pods if pod.owner == job.uid]
        if "held" in failures:
            yield "held", replace(world, cluster=(with_facts(jobs, job, held=True), with_pods_deleted(pods, job.uid)))
        if "refused" in failures and not mine:
            yield "refused", replace(world, cluster=(with_facts(jobs, job, refused=True), pods))
        if "no room" in failures and not mine:
            states = ["running"] * (job.nodes - 1) + ["no room"]
            made = [Pod(job.uid, index, state, round=job.round) for index, state in enumerate(states)]
            gangs = world.gangs + 1
            yield "no room", replace(world, cluster=(jobs, tuple(sorted((*pods, *made)))), gangs=gangs)


def with_facts(jobs: tuple[Job, ...], job: Job, **facts: Any) -> tuple[Job, ...]:
    """Return the Jobs with this one changed."""
    return tuple(sorted(replace(found, **facts) if found == job else found for found in jobs))
