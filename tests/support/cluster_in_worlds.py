"""What may happen next in a world without the operator: moves of the cluster, and faults. No I/O."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from job_worlds import ALIVE, EXIT_CODES, FAILURES, Cluster, Job, Pod, World, landed, with_pods_deleted, without_job

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator


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
        if not any(pod.state in ALIVE for pod in mine):
            yield "admit", (with_facts(jobs, job, held=False, round=job.round + 1), pods)
    elif not job.outcome:
        missing = [index for index in range(job.nodes) if index not in {pod.index for pod in mine if in_play(pod)}]
        if missing:
            made = [Pod(owner=job.uid, index=index, round=job.round) for index in missing]
            kept = [pod for pod in pods if pod not in mine or in_play(pod)]
            yield "start", (jobs, tuple(sorted((*kept, *made))))
        elif all(pod.state == "succeeded" for pod in mine):
            yield "complete", (with_facts(jobs, job, outcome="Succeeded"), pods)
        if any(pod.state in EXIT_CODES for pod in mine):
            yield "fail", (with_facts(jobs, job, outcome="Failed"), with_pods_deleted(pods, job.uid))


def in_play(pod: Pod) -> bool:
    """Return whether a pod fills its place in a gang; a pod that a queue took from a gang before resuming it does not."""
    return not (pod.deleted and pod.state in ALIVE)


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
        ways = [way for way in ("imageless", *failures) if way == "imageless" or way in EXIT_CODES]
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
