"""What the operator does next in a world. The operator is the real `decide`, as it works on a cluster of several nodes. No I/O.

Its writes are carried out one by one, and it may be killed between any two. What the watch has shown it may be out of date. Time stands
still at a moment at which every delay is over: each gang that ran has run for a day.
"""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING, Any

from job_worlds import DISRUPTIONS, EXIT_CODES, Cluster, Job, Pod, World, Write, landed, without_job
from stage_messages import success

from tuneloop_api.v1alpha1 import FineTuneJob
from tuneloop_operator.decide.fine_tune_job.job import decide
from tuneloop_operator.desired.fine_tune_job.network_policy import job_policy
from tuneloop_operator.desired.fine_tune_job.service import rendezvous_service
from tuneloop_operator.settings.operator import OperatorSettings
from tuneloop_operator.state.observed import ContainerEnd, JobView, ObservedJob, PodView

if TYPE_CHECKING:
    from collections.abc import Iterator

THEN = datetime(2026, 1, 1, tzinfo=UTC)
NOW = THEN + timedelta(days=1)
NEVER = THEN + timedelta(days=1000)
SETTINGS = OperatorSettings(default_claim="models")


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
            ("NetworkPolicy", "r-train"): job_policy(job, settings=SETTINGS),
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


@cache
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


@cache
def pod_view(pod: Pod) -> PodView:
    owner = pod.owner.split("#")[0]
    job = Job(name=owner, uid=pod.owner)
    end, phase = None, "Pending" if pod.state in {"imageless", "no room"} else "Running"
    if pod.state == "succeeded":
        text = success(job.stage, index=pod.index)
        end, phase = ContainerEnd(exit_code=0, message=text, finished=NOW), "Succeeded"
    elif pod.state in EXIT_CODES:
        end, phase = ContainerEnd(exit_code=EXIT_CODES[pod.state], finished=NOW), "Failed"
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
        disruption=DISRUPTIONS.get(pod.state, ""),
        deletion_asked=NOW if pod.deleted else None,
        gone_by=NEVER if pod.deleted else None,
    )
