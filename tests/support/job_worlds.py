"""The worlds that a job can be in, and what may happen next in each: moves of the operator, of the cluster, and faults. No I/O.

The operator is the real `decide`; its writes are carried out one by one, and it may be killed between any two. What the watch told it
may be older than what is true. Time stands still at a moment at which every delay is over.
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
from tuneloop_operator.settings.operator import OperatorSettings
from tuneloop_operator.state.observed import ContainerEnd, JobView, ObservedJob, PodView

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

THEN = datetime(2026, 1, 1, tzinfo=UTC)
NOW = THEN + timedelta(days=1)
NEVER = THEN + timedelta(days=1000)
SETTINGS = OperatorSettings(default_claim="models", local=True)
FAILURES = {"config": 78, "collective": 77, "evicted": 143}
MORE_FAILURES = {"data lost": 81, "not finite": 76}
_EXIT_CODES = FAILURES | MORE_FAILURES
"""Exit code by the way in which a pod ends; one without an image never starts, and never ends."""
PRESENT: Any = {("Service", "r-train"): {}}


@dataclass(frozen=True, order=True)
class Pod:
    owner: str
    """Uid of its Job."""
    index: int
    state: str = "running"
    """running, succeeded, imageless, or a key of FAILURES."""
    deleted: bool = False


@dataclass(frozen=True, order=True)
class Job:
    name: str
    uid: str
    outcome: str = ""
    deleting: bool = False
    """In the foreground: it stays until its pods are gone."""

    @property
    def stage(self) -> str:
        last = self.name.rsplit("-", 1)[-1]
        return last if last in {"prepare", "export"} else "train"

    @property
    def attempt(self) -> int:
        return int(self.name.rsplit("-a", 1)[-1]) if self.stage == "train" else 0


Cluster = tuple[tuple[Job, ...], tuple[Pod, ...]]
Write = tuple[str, str]


@dataclass(frozen=True)
class World:
    status: str = "{}"
    suspend: bool = False
    cluster: Cluster = ((), ())
    view: Cluster = ((), ())
    """What the watch has told the operator."""
    pending: tuple[Write, ...] = ()
    decided_on: bool = False
    """Whether the job was suspended when `pending` was decided: the write of the status fails if that has changed."""
    created: tuple[str, ...] = ()
    faults: int = 0
    """How many more failures, deletions by hand and crashes there may be."""
    toggles: int = 0

    @property
    def finished(self) -> bool:
        conditions = parsed(self.status).get("conditions", ())
        return any(one["type"] in {"Complete", "Failed"} and one["status"] == "True" for one in conditions)


@cache
def parsed(status: str) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(status)
    return value


@cache
def decided(status: str, suspend: bool, cluster: Cluster, live: bool) -> tuple[bool, tuple[Write, ...]]:
    """Return whether a live look is asked for, and the writes in their order."""
    jobs, pods = cluster
    seen = ObservedJob(
        job=fine_tune_job(status, suspend),
        manifest={},
        jobs=tuple(job_seen(job) for job in jobs),
        pods=tuple(pod_seen(pod) for pod in pods),
        present=PRESENT,
        live=live,
    )
    decision = decide(seen, now=NOW, settings=SETTINGS)
    writes = [("status", steady(decision.status))] if decision.status is not None else []
    writes += [("delete", deletion.uid) for deletion in decision.delete]
    writes += [("create", made["metadata"]["name"]) for made in decision.create if made["kind"] == "Job"]
    return decision.needs is not None, tuple(writes)


def fine_tune_job(status: str, suspend: bool) -> FineTuneJob:
    spec = {
        "model": {"uri": "hf://a/b"},
        "task": "text-classification",
        "data": {"train": [{"uri": "pvc://models/x.csv"}]},
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


def job_seen(job: Job) -> JobView:
    return JobView(
        name=job.name,
        uid=job.uid,
        stage=job.stage,  # type: ignore[arg-type]  # one of the three
        attempt=job.attempt,
        created=THEN,
        deleting=job.deleting,
        outcome=job.outcome or None,  # type: ignore[arg-type]  # Succeeded or Failed
        outcome_since=THEN if job.outcome else None,
    )


def pod_seen(pod: Pod) -> PodView:
    owner = pod.owner.split("#")[0]
    job = Job(name=owner, uid=pod.owner)
    end, phase = None, "Pending" if pod.state == "imageless" else "Running"
    if pod.state == "succeeded":
        end, phase = ContainerEnd(exit_code=0, message=success(job.stage), finished=THEN), "Succeeded"
    elif pod.state in _EXIT_CODES:
        end, phase = ContainerEnd(exit_code=_EXIT_CODES[pod.state], finished=THEN), "Failed"
    return PodView(
        name=f"{owner}-{pod.index}",
        uid=f"{pod.owner}-{pod.index}",
        stage=job.stage,  # type: ignore[arg-type]  # one of the three
        attempt=job.attempt,
        owner=pod.owner,
        index=pod.index,
        phase=phase,
        created=THEN,
        ready=phase == "Running",
        ended=end,
        waiting="InvalidImageName" if pod.state == "imageless" else "",
        disruption="EvictionByEvictionAPI" if pod.state == "evicted" else "",
        deletion_asked=THEN if pod.deleted else None,
        gone_by=NEVER if pod.deleted else None,
    )


def operator_moves(world: World) -> Iterator[tuple[str, World]]:
    if world.pending:
        yield "write", written(world)
        return
    look, writes = decided(world.status, world.suspend, world.view, False)
    view = world.view
    if look:
        view = world.cluster
        again, writes = decided(world.status, world.suspend, view, True)
        assert not again, "a live look asks for no other one"
    if writes or view != world.view:
        yield "decide", replace(world, view=view, pending=writes, decided_on=world.suspend)


def written(world: World) -> World:
    (kind, what), rest = world.pending[0], world.pending[1:]
    jobs, pods = world.cluster
    if kind == "status":
        if world.decided_on != world.suspend:
            return replace(world, pending=(), view=world.cluster)  # the API server says Conflict
        return replace(world, status=what, pending=rest)
    if kind == "delete":
        return replace(world, cluster=without_job(world.cluster, what), pending=rest)
    if any(job.name == what for job in jobs):
        return replace(world, view=world.cluster, pending=rest)  # AlreadyExists, and ours
    made = Job(name=what, uid=f"{what}#{world.created.count(what) + 1}")
    view = (tuple(sorted({*world.view[0], made})), world.view[1])
    created = tuple(sorted((*world.created, what)))
    return replace(world, cluster=(tuple(sorted((*jobs, made))), pods), view=view, created=created, pending=rest)


def without_job(cluster: Cluster, uid: str) -> Cluster:
    jobs, pods = cluster
    kept = tuple(job for job in jobs if job.uid != uid)
    if kept == jobs:
        return cluster
    left = [pod for pod in pods if pod.owner != uid]
    return kept, tuple(sorted((*left, *(pod for pod in told_to_end(pods, uid) if pod.owner == uid and pod.deleted))))


def told_to_end(pods: tuple[Pod, ...], uid: str) -> tuple[Pod, ...]:
    """Return the pods, with those of this Job that have not ended asked to."""
    alive = {"running", "imageless"}
    return tuple(sorted(replace(pod, deleted=(pod.owner == uid and pod.state in alive) or pod.deleted) for pod in pods))


def cluster_moves(world: World, gang: int) -> Iterator[tuple[str, World]]:
    jobs, pods = world.cluster
    if world.view != world.cluster:
        yield "watch", replace(world, view=world.cluster)
    for job in jobs:
        for name, cluster in job_moves(world.cluster, job, gang):
            yield name, replace(world, cluster=cluster)
    for pod in pods:
        others = tuple(other for other in pods if other != pod)
        if pod.deleted:
            yield "gone", replace(world, cluster=(jobs, others))
        elif pod.state == "running":
            ended = replace(pod, state="succeeded")
            yield "succeed", replace(world, cluster=(jobs, tuple(sorted((*others, ended)))))
    if world.suspend:
        yield "resume", replace(world, suspend=False)


def job_moves(cluster: Cluster, job: Job, gang: int) -> Iterator[tuple[str, Cluster]]:
    """Yield what the Job controller may do."""
    jobs, pods = cluster
    mine = [pod for pod in pods if pod.owner == job.uid]
    if job.deleting:
        if not any(pod.deleted for pod in mine):
            yield "gone", without_job(cluster, job.uid)
    elif not job.outcome:
        if not mine:
            made = [Pod(owner=job.uid, index=index) for index in range(gang if job.stage == "train" else 1)]
            yield "start", (jobs, tuple(sorted((*pods, *made))))
        elif all(pod.state == "succeeded" for pod in mine):
            yield "complete", (with_outcome(jobs, job, "Succeeded"), pods)
        if any(pod.state in _EXIT_CODES for pod in mine):
            yield "fail", (with_outcome(jobs, job, "Failed"), told_to_end(pods, job.uid))


def faults(world: World, failures: Iterable[str] = FAILURES) -> Iterator[tuple[str, World]]:
    jobs, pods = world.cluster
    if world.toggles and not world.suspend:
        yield "suspend", replace(world, suspend=True, toggles=world.toggles - 1)
    if not world.faults:
        return
    poorer = replace(world, faults=world.faults - 1)
    yield "crash", replace(poorer, pending=(), view=world.cluster)
    for job in jobs:
        yield "delete by hand", replace(poorer, cluster=without_job(world.cluster, job.uid))
        leaving = tuple(sorted(replace(one, deleting=one == job or one.deleting) for one in jobs))
        yield "delete by hand", replace(poorer, cluster=(leaving, told_to_end(pods, job.uid)))
    for pod in pods:
        others = [other for other in pods if other != pod]
        for failure in ("imageless", *failures) if pod.state == "running" and not pod.deleted else ():
            ended = tuple(sorted((*others, replace(pod, state=failure))))
            yield failure, replace(poorer, cluster=(jobs, ended))


def with_outcome(jobs: tuple[Job, ...], job: Job, outcome: str) -> tuple[Job, ...]:
    return tuple(sorted(replace(one, outcome=outcome) if one == job else one for one in jobs))
