"""The observation of a FineTuneJob: its Jobs, their pods, its other children, and the ModelDeployments whose feedback it reads."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import TYPE_CHECKING

from tuneloop_api.v1alpha1 import FineTuneJob
from tuneloop_api.wire.names import COMPLETION_INDEX, STAGES
from tuneloop_api.wire.uris import base_job
from tuneloop_operator.cluster.owners import owner_uid
from tuneloop_operator.controller.manifest_blocks import mapping
from tuneloop_operator.controller.observe.base_job import job_named
from tuneloop_operator.controller.observe.common import present_children, time_of
from tuneloop_operator.controller.observe.containers import container_end, containers_of, not_before, unschedulable
from tuneloop_operator.controller.observe.feedback import deployments_named, feedback_names
from tuneloop_operator.controller.observe.missing_keys import with_keys
from tuneloop_operator.controller.observe.outlived_jobs import with_outcome_of_pods
from tuneloop_operator.controller.observe.pull_secrets import with_pull_secrets
from tuneloop_operator.controller.trim import FIRST_DELETION
from tuneloop_operator.names import ATTEMPT_LABEL, JOB_LABEL, STAGE_LABEL, TRAINER_CONTAINER
from tuneloop_operator.state.observed import LONG_AGO, Facts, JobView, ObservedJob, PodView

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tuneloop_operator.cluster import Kind, Manifest
    from tuneloop_operator.controller.store import Store

_OUTCOMES = {
    "FailureTarget": "Failed",
    "Failed": "Failed",
    "SuccessCriteriaMet": "Succeeded",
    "Complete": "Succeeded",
}
"""Outcome of a Job by the type of a true condition."""


def observe(store: Store, manifest: Manifest, facts: Facts) -> ObservedJob:
    """Return a FineTuneJob with its children. Raises ValidationError if it does not fit the model."""
    job = FineTuneJob.from_wire(manifest)
    namespace, name, uid = (manifest["metadata"][key] for key in ("namespace", "name", "uid"))
    children = list(store.labelled(JOB_LABEL, name, namespace=namespace))
    count = Counter(owner_uid(child) for child in children if child["kind"] == "Pod")
    stages = {
        child["metadata"]["uid"]: child
        for child in children
        if _is_stage(child, kind="Job") and owner_uid(child) == uid
    }
    gone = [pod for job_uid in sorted(_job_uids(job, stages)) for pod in _terminated_pods(store, job_uid)]
    pods = _pod_views([*children, *gone], facts)
    jobs = [
        with_outcome_of_pods(
            job_view(child, pods=count[job_uid], refusal=facts.refusals.get(job_uid)),
            (pod for pod in pods if pod.owner == job_uid),
            parallelism=_parallelism(child),
        )
        for job_uid, child in stages.items()
    ]
    return ObservedJob(
        job=job,
        manifest=manifest,
        jobs=tuple(sorted(jobs, key=lambda job: job.name)),
        pods=pods,
        present=present_children(children, uid=uid),
        base_job=job_named(store, namespace=namespace, name=base_job(job.spec.model.uri)),
        feedback_deployments=deployments_named(store, namespace=namespace, names=job.spec.feedback_deployments),
        progress=store.progress(uid),
        progress_written=facts.progress_written,
        live=facts.live,
        blocker=facts.blocker,
    )


def references_of(manifest: Manifest) -> Iterator[tuple[Kind, str]]:
    """Yield kind and name of the ModelDeployments whose feedback a stored FineTuneJob reads, and of the job whose model it begins with; whether it fits the model is not known."""
    spec = manifest.get("spec") or {}
    uri = mapping(spec.get("model")).get("uri")
    if isinstance(uri, str) and (other := base_job(uri)):
        yield "FineTuneJob", other
    data, beside = mapping(spec.get("data")), mapping(mapping(spec.get("evaluation")).get("compareWith"))
    for sources in (*map(data.get, ("train", "validation", "test")), beside.get("recent")):
        for name in feedback_names(sources):
            yield "ModelDeployment", name


def job_view(manifest: Manifest, *, pods: int, refusal: str | None) -> JobView:
    """Return the view of a stage's Job. pods: how many of its pods exist; refusal: as in the view."""
    metadata, status = manifest["metadata"], manifest.get("status") or {}
    outcome, since, message = None, None, ""
    for condition in status.get("conditions") or ():
        kind = _OUTCOMES.get(condition["type"])
        if kind and condition["status"] == "True" and outcome is None:
            outcome, message = kind, condition.get("message", "")
            since = time_of(condition.get("lastTransitionTime"))
    labels, suspended, deleting = metadata["labels"], _is_suspended(manifest), "deletionTimestamp" in metadata
    may_have_pods = outcome is None and not suspended and not deleting
    return JobView(
        name=metadata["name"],
        uid=metadata["uid"],
        stage=labels[STAGE_LABEL],
        attempt=int(labels[ATTEMPT_LABEL]),
        created=time_of(metadata.get("creationTimestamp")) or LONG_AGO,
        started=None if suspended else time_of(status.get("startTime")),
        suspended=suspended,
        missing_pods=max(_parallelism(manifest) - pods, 0) if may_have_pods else 0,
        refusal=refusal,
        deleting=deleting,
        outcome="Succeeded" if outcome == "Succeeded" else "Failed" if outcome else None,
        outcome_since=since,
        outcome_message=message,
    )


def pod_view(manifest: Manifest, *, mount_failure: str | None = None) -> PodView:
    """Return the view of a stage's pod. mount_failure: as in the view."""
    metadata, status = manifest["metadata"], manifest.get("status") or {}
    conditions = {condition["type"]: condition for condition in status.get("conditions") or ()}
    containers = containers_of(status, own=TRAINER_CONTAINER)
    state, (waiting, waiting_message) = containers.state, containers.waiting()
    disruption = conditions.get("DisruptionTarget", {})
    deletion = metadata.get(FIRST_DELETION) or metadata
    deletion_ends = time_of(deletion.get("deletionTimestamp"))
    grace = timedelta(seconds=deletion.get("deletionGracePeriodSeconds") or 0)
    labels = metadata["labels"]
    created = time_of(metadata.get("creationTimestamp")) or LONG_AGO
    started = time_of((state.get("running") or state.get("terminated") or {}).get("startedAt"))
    return PodView(
        name=metadata["name"],
        uid=metadata["uid"],
        stage=labels[STAGE_LABEL],
        attempt=int(labels[ATTEMPT_LABEL]),
        owner=owner_uid(manifest) or "",
        index=int((metadata.get("annotations") or {}).get(COMPLETION_INDEX, 0)),
        phase=status.get("phase", "Pending"),
        reason=status.get("reason", ""),
        message=status.get("message", ""),
        node=(manifest.get("spec") or {}).get("nodeName"),
        image=containers.own.get("imageID", ""),
        created=created,
        ready=conditions.get("Ready", {}).get("status") == "True",
        started=not_before(started, created),
        ended=container_end(state.get("terminated"), created=created),
        waiting=waiting,
        waiting_message=with_pull_secrets(with_keys(waiting_message, manifest), reason=waiting, pod=manifest),
        unschedulable=unschedulable(status),
        mount_failure=mount_failure,
        disruption=disruption.get("reason", "") if disruption.get("status") == "True" else "",
        deletion_asked=deletion_ends - grace if deletion_ends else None,
        gone_by=time_of(metadata.get("deletionTimestamp")),
        is_outlived=containers.is_outlived and status.get("phase") not in {"Succeeded", "Failed"},
    )


def _job_uids(job: FineTuneJob, uids: Iterable[str]) -> set[str]:
    """Return the uids of the Jobs that exist, and of the last gang's Job, whose pods may outlive it."""
    children = job.status.children if job.status else None
    last = children.train.uid if children and children.train else None
    return {*uids} | ({last} if last else set())


def _terminated_pods(store: Store, job_uid: str) -> Iterator[Manifest]:
    """Yield the pods of a Job that are gone, in a terminal phase and not ready."""
    for pod in store.terminated_pods(job_uid):
        status = pod["status"]
        phase = status.get("phase") if status.get("phase") in {"Succeeded", "Failed"} else "Failed"
        kept = [condition for condition in status.get("conditions") or () if condition["type"] != "Ready"]
        yield pod | {"status": status | {"phase": phase, "conditions": kept}}


def _pod_views(children: Iterable[Manifest], facts: Facts) -> tuple[PodView, ...]:
    """Return the views of the stages' pods. A pod names only its Job as owner, and may outlive it."""
    views = [
        pod_view(child, mount_failure=facts.mount_failures.get(child["metadata"]["uid"]))
        for child in children
        if _is_stage(child, kind="Pod") and owner_uid(child) is not None
    ]
    return tuple(sorted(views, key=lambda pod: (pod.stage, pod.attempt, pod.index, pod.name)))


def _is_stage(child: Manifest, *, kind: str) -> bool:
    """Whether a child has the labels of a stage's Job or pod. Any user may add or remove labels."""
    labels = child["metadata"].get("labels") or {}
    is_labelled = labels.get(STAGE_LABEL) in STAGES and labels.get(ATTEMPT_LABEL, "").isdecimal()
    return child["kind"] == kind and is_labelled


def _parallelism(job: Manifest) -> int:
    parallelism: int = job.get("spec", {}).get("parallelism", 1)
    return parallelism


def _is_suspended(job: Manifest) -> bool:
    """Whether a Job is suspended, or was until the Job controller handles the resume: until then its times are those of the last start."""
    conditions = (job.get("status") or {}).get("conditions") or ()
    was_suspended = any(condition["type"] == "Suspended" and condition["status"] == "True" for condition in conditions)
    return was_suspended or bool((job.get("spec") or {}).get("suspend"))
