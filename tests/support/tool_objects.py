"""Jobs and deployments in every state, each with what tools are to see: what kstatus computes (Flux, Helm), and the health of Argo CD."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from observed_jobs import (
    NOW,
    PREPARED,
    RESULT,
    SETTINGS,
    STAMP,
    TRAINING,
    a_job,
    gang_job,
    observed,
    pod_of,
    seconds,
    stage_job,
)
from pydantic import ValidationError

from tuneloop_api.v1alpha1 import FineTuneJob, ModelDeployment
from tuneloop_api.v1alpha1.fine_tune_job.status import FineTuneJobStatus
from tuneloop_operator.decide.fine_tune_job.job import decide as decide_job
from tuneloop_operator.decide.model_deployment.deployment import decide as decide_deployment
from tuneloop_operator.decide.unreadable import decide_unreadable
from tuneloop_operator.state.observed import Blocker, ObservedDeployment
from tuneloop_operator.status.fine_tune_job.job import shown

if TYPE_CHECKING:
    from collections.abc import Iterator

Manifest = dict[str, Any]
GENERATION = 3
NOT_OBSERVED = {"observedGeneration": -1}
"""What the CRD gives a new object as its status."""


@dataclass(frozen=True, kw_only=True)
class ToolObject:
    """An object as stored, and what tools are to see."""

    name: str
    manifest: Manifest
    kstatus: str
    health: str
    message: str = ""
    """Begins the message; empty: any."""

    @property
    def status(self) -> Manifest:
        """The status as stored."""
        status: Manifest = self.manifest["status"]
        return status

    @property
    def conditions(self) -> dict[str, Manifest]:
        """The conditions by their types."""
        return {found["type"]: found for found in self.status.get("conditions", ())}


def every_object() -> list[ToolObject]:
    """Return objects of both kinds in every state."""
    return [*jobs(), *deployments()]


DONE = {"ended": True, "result": RESULT}
GANG = gang_job()
UP = tuple(pod_of(GANG, index, ready=True, started=NOW) for index in (0, 1))
ENDED = TRAINING | {"children": PREPARED | {"train": {"name": "r-a1", "uid": "u-a1", "ended": True}}}
EXPORTING = TRAINING | {"children": PREPARED | {"train": {"name": "r-a1", "uid": "u-a1"} | DONE}}
PREPARING = {"startTime": STAMP, "children": {"prepare": {"name": "r-prepare", "uid": "u-prepare"}}}
CONFLICT = Blocker(reason="NameConflict", message="Job r-prepare is not ours")


def over(type_: str, reason: str, message: str) -> Manifest:
    """Return the status of a job that is over."""
    condition = {"type": type_, "status": "True", "reason": reason, "message": message, "lastTransitionTime": STAMP}
    return EXPORTING | {"completionTime": STAMP, "conditions": [condition]}


FAILED = over("Failed", "Data", "row 7 has no label")
PUBLISHED = over("Complete", "Published", "the artifact is at pvc://models/artifact")
CHECKED = over("Complete", "DryRun", "checked and planned; preflight.dryRun ends here")


def job_after(before: Manifest, *, stored: Manifest | None = None, spec: Manifest | None = None, **observation: Any) -> Manifest:  # fmt: skip
    """Return a job with the status that is shown after this status. stored: the status as stored, if it differs."""
    job = a_job(before if stored is None else stored, **(spec or {}))
    job.metadata["generation"] = GENERATION
    status = shown(observed(job, **observation), FineTuneJobStatus.from_wire(before), now=NOW).to_wire()
    return job.to_wire() | {"status": status}


def jobs() -> Iterator[ToolObject]:
    """Yield jobs in every phase, and beside the phases."""
    suspend = {"suspend": True}
    on_its_way = {
        "Pending": job_after({}),
        "Preparing": job_after(PREPARING, jobs=(stage_job("prepare"),)),
        "Queued": job_after(TRAINING, jobs=(GANG,)),
        "Running": job_after(TRAINING, jobs=(GANG,), pods=UP),
        "Restarting": job_after(ENDED),
        "Exporting": job_after(EXPORTING, jobs=(stage_job("export"),)),
    }
    for phase, manifest in on_its_way.items():
        yield ToolObject(name=phase, manifest=manifest, kstatus="InProgress", health="Progressing")
    for name, before in (("Succeeded", PUBLISHED), ("a dry run", CHECKED), ("done and suspended", PUBLISHED)):
        spec = suspend if name.endswith("suspended") else {}
        yield ToolObject(name=name, manifest=job_after(before, spec=spec), kstatus="Current", health="Healthy")
    for name, before in (("Suspended", ENDED), ("suspended before its start", {})):
        manifest = job_after(before, spec=suspend)
        yield ToolObject(name=name, manifest=manifest, kstatus="Current", health="Suspended")
    stopping = job_after(TRAINING, spec=suspend, jobs=(GANG,))
    yield ToolObject(name="still being suspended", manifest=stopping, kstatus="InProgress", health="Progressing")
    resumed = job_after(ENDED | {"conditions": job_after(ENDED, spec=suspend)["status"]["conditions"]})
    yield ToolObject(name="resumed", manifest=resumed, kstatus="InProgress", health="Progressing")
    failed = {
        "Failed": (job_after(FAILED), "row 7 has no label"),
        "failed and suspended": (job_after(FAILED, spec=suspend), "row 7 has no label"),
        "held up by a name": (job_after({}, blocker=CONFLICT), "Job r-prepare is not ours"),
        "refused": (refused_job(), "spec.model.uri: found file:///m"),
        "refused and suspended": (refused_job(suspend=True), "spec.model.uri: found file:///m"),
        "unreadable": (unreadable_job(), "spec.surprise: found 1"),
    }
    for name, (manifest, message) in failed.items():
        yield ToolObject(name=name, manifest=manifest, kstatus="Failed", health="Degraded", message=message)
    unread = job_after(PUBLISHED) | {"status": NOT_OBSERVED}
    yield ToolObject(name="new", manifest=unread, kstatus="InProgress", health="Progressing")
    changed = job_after(PUBLISHED)
    changed |= {"metadata": changed["metadata"] | {"generation": GENERATION + 1}}
    yield ToolObject(name="changed", manifest=changed, kstatus="InProgress", health="Progressing")


def refused_job(**spec: Any) -> Manifest:
    """Return a job whose model only local mode can read."""
    job = a_job(model={"uri": "file:///m"}, **spec)
    job.metadata["generation"] = GENERATION
    return job.to_wire() | {"status": decide_job(observed(job), now=NOW, settings=SETTINGS).status}


def unreadable_job() -> Manifest:
    """Return a running job whose spec has a field that this version does not know."""
    before = job_after(TRAINING, jobs=(GANG,), pods=UP)
    manifest = before | {"spec": before["spec"] | {"surprise": 1}}
    try:
        FineTuneJob.from_wire(manifest)
    except ValidationError as error:
        decision = decide_unreadable(manifest, error, model=FineTuneJob, blocker=None, now=NOW + seconds(1))
        return manifest | {"status": decision.status}
    raise AssertionError("the job can be read")


SERVED = {"phase": "Ready", "stable": {"revision": "old", "digest": "sha256:aa", "uri": "pvc://models/old"}}
READY = {"type": "Ready", "status": "True", "reason": "AllReady", "message": "", "lastTransitionTime": STAMP}
SERVES = SERVED | {"conditions": [READY]}
OVERDUE = {
    "type": "Progressing",
    "status": "False",
    "reason": "ProgressDeadlineExceeded",
    "message": 'ReplicaSet "api-1" has timed out progressing.',
}
QUOTA = Blocker(reason="Refused", message="Deployment api: exceeded quota")
REFERENCE = {"model": {"fineTuneJobRef": {"name": "r"}}}


def deployment_after(
    before: Manifest | None = None,
    *,
    spec: Manifest | None = None,
    servers: Manifest | None = None,
    **observation: Any,
) -> Manifest:
    """Return a deployment after one decision. servers: the status of the Deployment of the revision that the spec asks for."""
    metadata = {"name": "api", "namespace": "team-a", "uid": "u", "resourceVersion": "1", "generation": GENERATION}
    manifest = {"apiVersion": "tuneloop.dev/v1alpha1", "kind": "ModelDeployment", "metadata": metadata}
    manifest |= {"spec": {"model": {"uri": "pvc://models/new"}} | (spec or {})}
    manifest |= {"status": before} if before else {}
    given: Manifest = {"manifest": manifest, "present": {}} | observation
    first = ObservedDeployment(deployment=ModelDeployment.from_wire(manifest), **given)
    children = decide_deployment(first, now=NOW, settings=SETTINGS).apply
    present = {
        (child["kind"], child["metadata"]["name"]): child | {"status": servers or {}}
        for child in children
        if child["kind"] == "Deployment"
    }
    again = ObservedDeployment(deployment=first.deployment, **given | {"present": present})
    decision = decide_deployment(again, now=NOW, settings=SETTINGS)
    return manifest | {"status": decision.status or before}


def deployments() -> Iterator[ToolObject]:
    """Yield deployments in every phase, and beside the phases."""
    job = a_job()
    failed = FineTuneJob.from_wire(job_after(FAILED))
    up = {"replicas": 1, "readyReplicas": 1}
    ready = {
        "Ready": deployment_after(servers=up),
        "no replicas": deployment_after(spec={"replicas": 0}),
        "another revision is ready": deployment_after(SERVES, servers=up),
    }
    for name, manifest in ready.items():
        yield ToolObject(name=name, manifest=manifest, kstatus="Current", health="Healthy")
    on_its_way = {
        "Loading": (deployment_after(servers={"replicas": 1}), "0 of 1 servers"),
        "Degraded": (deployment_after(spec={"replicas": 2}, servers=up), "1 of 2 servers"),
        "Progressing": (deployment_after(SERVES), "0 of 1 servers"),
        "no job": (deployment_after(spec=REFERENCE), "there is no FineTuneJob r"),
        "no result yet": (deployment_after(spec=REFERENCE, source=job), "FineTuneJob r is Pending"),
        "no result yet, and another model serves": (deployment_after(SERVES, spec=REFERENCE, source=job), "FineTune"),
    }
    for name, (manifest, message) in on_its_way.items():
        yield ToolObject(name=name, manifest=manifest, kstatus="InProgress", health="Progressing", message=message)
    overdue = {"replicas": 1, "conditions": [OVERDUE]}
    stalled = {
        "overdue": (deployment_after(servers=overdue), "ProgressDeadlineExceeded: ReplicaSet"),
        "overdue beside the old one": (deployment_after(SERVES, servers=overdue), "ProgressDeadlineExceeded: "),
        "held up by a quota": (deployment_after(blocker=QUOTA), "Deployment api: exceeded quota"),
        "refused": (deployment_after(spec={"model": {"uri": "hf://a/b"}}), "spec.model.uri: found hf://a/b"),
        "refused, and another model serves": (deployment_after(SERVES, spec={"model": {"uri": "hf://a/b"}}), "spec.m"),
        "a failed job": (deployment_after(spec=REFERENCE, source=failed), "FineTuneJob r has failed"),
        "a job that cannot be read": (
            deployment_after(spec=REFERENCE, source_problem="spec.x"),
            "FineTuneJob r cannot",
        ),
    }
    for name, (manifest, message) in stalled.items():
        yield ToolObject(name=name, manifest=manifest, kstatus="Failed", health="Degraded", message=message)
