"""From stored objects to what a decision looks at."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from tuneloop_api.v1alpha1 import FineTuneJob, ModelDeployment
from tuneloop_api.wire.names import COMPLETION_INDEX, STAGES
from tuneloop_operator.cluster.owners import owner_uid
from tuneloop_operator.controller.store import FIRST_ASKED
from tuneloop_operator.names import ATTEMPT_LABEL, DEPLOYMENT_LABEL, JOB_LABEL, STAGE_LABEL
from tuneloop_operator.state.observed import ContainerEnd, JobView, ObservedDeployment, ObservedJob, PodView

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from tuneloop_operator.cluster import Manifest
    from tuneloop_operator.controller.store import Store
    from tuneloop_operator.state.observed import Blocker

_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


def observe_job(
    store: Store,
    manifest: Manifest,
    *,
    live: bool = False,
    refused: Mapping[str, str] | None = None,
    progress_written: datetime | None = None,
    blocker: Blocker | None = None,
) -> ObservedJob:
    """Return a FineTuneJob with all that belongs to it. Raises ValidationError if it does not fit the schema.

    `refused`: by the uid of a Job, what the API server said when a pod of it could not be created.
    """
    job = FineTuneJob.from_wire(manifest)
    namespace, name, uid = (manifest["metadata"][key] for key in ("namespace", "name", "uid"))
    children = list(store.labelled(JOB_LABEL, name, namespace=namespace))
    own = [child for child in children if _is_stage(child, kind="Job") and owner_uid(child) == uid]
    jobs = [_job_seen(child, refused=(refused or {}).get(child["metadata"]["uid"], "")) for child in own]
    return ObservedJob(
        job=job,
        manifest=manifest,
        jobs=tuple(sorted(jobs, key=lambda one: one.name)),
        pods=_pods([*children, *(pod for gang in sorted(_gangs(job, jobs)) for pod in _terminated_pods(store, gang))]),
        present=_present(children, uid=uid),
        progress=store.progress(uid),
        progress_written=progress_written,
        live=live,
        blocker=blocker,
    )


def short_of_pods(store: Store, manifest: Manifest) -> tuple[str, ...]:
    """Return the uids of a FineTuneJob's Jobs that should have more pods than there are."""
    namespace, name, uid = (manifest["metadata"][key] for key in ("namespace", "name", "uid"))
    children = list(store.labelled(JOB_LABEL, name, namespace=namespace))
    pods = Counter(owner_uid(child) for child in children if child["kind"] == "Pod")
    return tuple(
        child["metadata"]["uid"]
        for child in children
        if _is_stage(child, kind="Job")
        and owner_uid(child) == uid
        and _is_at_work(child)
        and pods[child["metadata"]["uid"]] < child["spec"].get("parallelism", 1)
    )


def observe_deployment(
    store: Store, manifest: Manifest, *, live: bool = False, blocker: Blocker | None = None
) -> ObservedDeployment:
    """Return a ModelDeployment with all that belongs to it. Raises ValidationError if it does not fit the schema."""
    deployment = ModelDeployment.from_wire(manifest)
    namespace, name, uid = (manifest["metadata"][key] for key in ("namespace", "name", "uid"))
    reference = deployment.spec.model.fine_tune_job_ref
    source = store.get("FineTuneJob", namespace=namespace, name=reference.name) if reference else None
    return ObservedDeployment(
        deployment=deployment,
        manifest=manifest,
        source=FineTuneJob.from_wire(source) if source else None,
        present=_present(store.labelled(DEPLOYMENT_LABEL, name, namespace=namespace), uid=uid),
        live=live,
        blocker=blocker,
    )


def _present(children: Iterable[Manifest], *, uid: str) -> dict[tuple[Any, str], Manifest]:
    return {
        (child["kind"], child["metadata"]["name"]): child
        for child in children
        if child["kind"] not in {"Job", "Pod"} and owner_uid(child) == uid
    }


def _gangs(job: FineTuneJob, jobs: Iterable[JobView]) -> set[str]:
    """Return the uids of a FineTuneJob's Jobs: those that are there, and that of the last gang, whose pods outlive it."""
    children = job.status.children if job.status else None
    last = children.train.uid if children and children.train else None
    return {one.uid for one in jobs} | ({last} if last else set())


def _terminated_pods(store: Store, job_uid: str) -> Iterator[Manifest]:
    """Yield a Job's pods that are gone, as what they are now: over."""
    for pod in store.terminated_pods(job_uid):
        status = pod["status"]
        over = status.get("phase") if status.get("phase") in {"Succeeded", "Failed"} else "Failed"
        kept = [one for one in status.get("conditions") or () if one["type"] != "Ready"]
        yield pod | {"status": status | {"phase": over, "conditions": kept}}


def _pods(children: Iterable[Manifest]) -> tuple[PodView, ...]:
    """Return the pods with the job's label; a pod names its Job alone as its owner, and may outlive it."""
    pods = [_pod_seen(child) for child in children if _is_stage(child, kind="Pod") and owner_uid(child) is not None]
    return tuple(sorted(pods, key=lambda pod: (pod.stage, pod.attempt, pod.index, pod.name)))


def _is_stage(child: Manifest, *, kind: str) -> bool:
    """Whether it is labelled as the Job or a pod of a stage; anybody may put a label on, or take one off."""
    labels = child["metadata"].get("labels") or {}
    is_labelled = labels.get(STAGE_LABEL) in STAGES and labels.get(ATTEMPT_LABEL, "").isdecimal()
    return child["kind"] == kind and is_labelled


def _is_at_work(job: Manifest) -> bool:
    """Whether the Job controller makes pods for it."""
    conditions = (job.get("status") or {}).get("conditions") or ()
    over = any(one["type"] in _OUTCOMES and one["status"] == "True" for one in conditions)
    return not (over or _is_suspended(job) or "deletionTimestamp" in job["metadata"])


def _is_suspended(job: Manifest) -> bool:
    """Whether a Job may have no pods. One that is let go is suspended until the Job controller knows: its times are older ones."""
    conditions = (job.get("status") or {}).get("conditions") or ()
    told = any(one["type"] == "Suspended" and one["status"] == "True" for one in conditions)
    return told or bool((job.get("spec") or {}).get("suspend"))


def _job_seen(manifest: Manifest, *, refused: str) -> JobView:
    metadata, status = manifest["metadata"], manifest.get("status") or {}
    outcome, since, message = None, None, ""
    for condition in status.get("conditions") or ():
        kind = _OUTCOMES.get(condition["type"])
        if kind and condition["status"] == "True" and outcome is None:
            outcome, message = kind, condition.get("message", "")
            since = _time(condition.get("lastTransitionTime"))
    labels, suspended = metadata["labels"], _is_suspended(manifest)
    return JobView(
        name=metadata["name"],
        uid=metadata["uid"],
        stage=labels[STAGE_LABEL],
        attempt=int(labels[ATTEMPT_LABEL]),
        created=_time(metadata.get("creationTimestamp")) or _LONG_AGO,
        started=None if suspended else _time(status.get("startTime")),
        suspended=suspended,
        refused=refused,
        deleting="deletionTimestamp" in metadata,
        outcome="Succeeded" if outcome == "Succeeded" else "Failed" if outcome else None,
        outcome_since=since,
        outcome_message=message,
    )


_OUTCOMES = {
    "FailureTarget": "Failed",
    "Failed": "Failed",
    "SuccessCriteriaMet": "Succeeded",
    "Complete": "Succeeded",
}


def _pod_seen(manifest: Manifest) -> PodView:
    metadata, status = manifest["metadata"], manifest.get("status") or {}
    conditions = {one["type"]: one for one in status.get("conditions") or ()}
    container = (status.get("containerStatuses") or [{}])[0]
    state = container.get("state") or {}
    waiting = state.get("waiting") or {}
    disruption, scheduled = conditions.get("DisruptionTarget", {}), conditions.get("PodScheduled", {})
    asked = metadata.get(FIRST_ASKED) or metadata
    asked_by = _time(asked.get("deletionTimestamp"))
    grace = timedelta(seconds=asked.get("deletionGracePeriodSeconds") or 0)
    labels = metadata["labels"]
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
        image=container.get("imageID", ""),
        created=_time(metadata.get("creationTimestamp")) or _LONG_AGO,
        ready=conditions.get("Ready", {}).get("status") == "True",
        started=_time((state.get("running") or state.get("terminated") or {}).get("startedAt")),
        ended=_container_end(state.get("terminated")),
        waiting=waiting.get("reason", ""),
        waiting_message=waiting.get("message", ""),
        unschedulable=scheduled.get("message", "") if scheduled.get("status") == "False" else "",
        disruption=disruption.get("reason", "") if disruption.get("status") == "True" else "",
        deletion_asked=asked_by - grace if asked_by else None,
        gone_by=_time(metadata.get("deletionTimestamp")),
    )


def _container_end(terminated: dict[str, Any] | None) -> ContainerEnd | None:
    if terminated is None:
        return None
    return ContainerEnd(
        exit_code=terminated["exitCode"],
        reason=terminated.get("reason", ""),
        message=terminated.get("message", ""),
        finished=_time(terminated.get("finishedAt")) or _LONG_AGO,
    )


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
