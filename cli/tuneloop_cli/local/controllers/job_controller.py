"""The Job controller as one pure step: from a Job and its pods to the pods to create and delete, and the new status.

Each pod is counted exactly once, although it may be deleted: it keeps a finalizer until the status that lists it is stored
(`uncountedTerminatedPods`). Source: kubernetes pkg/controller/job. The Jobs of local mode have `backoffLimit: 0`.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

from tuneloop_api.wire.names import COMPLETION_INDEX
from tuneloop_cli.local.cluster.pod_objects import (
    Condition,
    is_active,
    is_deleted,
    is_ready,
    is_terminal,
    is_true,
    phase,
    pod_from_template,
    with_condition,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tuneloop_operator.cluster import Manifest

FINALIZER = "batch.kubernetes.io/job-tracking"


@dataclass(frozen=True, kw_only=True)
class JobStep:
    """What to do next, in the order of the fields: after a crash in between, the next step continues."""

    create: tuple[Manifest, ...] = ()
    delete: tuple[Manifest, ...] = ()
    status: dict[str, Any]
    release: tuple[Manifest, ...] = ()
    """Pods whose finalizer goes once the status is stored."""


@dataclass(frozen=True, kw_only=True)
class _Counts:
    failed: int
    """Failed pods whose finalizer is gone."""
    failing: tuple[str, ...]
    """Uids of failed pods that still have the finalizer."""
    succeeded: int
    succeeding: tuple[str, ...]
    indexes: tuple[int, ...]
    """Completion indexes that succeeded, in ascending order; empty unless the Job is Indexed."""

    @property
    def done(self) -> int:
        return len(self.indexes) + self.succeeded + len(self.succeeding)


def job_step(job: Manifest, pods: list[Manifest], *, now: str, suffix: Callable[[], str]) -> JobStep:
    """Return the next step of a Job. `suffix` gives the random end of a pod's name."""
    conditions: list[Condition] = (job.get("status") or {}).get("conditions") or []
    if is_true(conditions, "Complete") or is_true(conditions, "Failed"):
        return JobStep(status=job["status"], release=tuple(filter(_is_held, pods)))
    counts = _count(job, pods, give_up=is_true(conditions, "FailureTarget"))
    active = [pod for pod in pods if is_active(pod)]
    create, delete, release = [], [], [pod for pod in pods if _is_counted(pod, counts)]
    if is_true(conditions, "FailureTarget") or counts.failed or counts.failing:
        conditions = _add_condition(conditions, "FailureTarget", "BackoffLimitExceeded", now=now)
        delete, counts = active, _count(job, pods, give_up=True)
        release = [pod for pod in pods if _is_held(pod)]
    elif job["spec"].get("suspend"):
        delete, release = active, release + active  # a requested end is no failure
    else:
        create = list(_missing(job, active, counts, suffix=suffix))
    running = [] if delete else active + create
    if not is_true(conditions, "FailureTarget"):
        conditions = _healthy(job, conditions, done=counts.done >= _completions(job) and not running, now=now)
    gauges = {
        "active": len(running),
        "ready": sum(map(is_ready, running)),
        "terminating": len(delete) + sum(is_deleted(pod) and not is_terminal(pod) for pod in pods),
    }
    status = _finished(_status(job, counts, conditions, now=now) | gauges, before=job, now=now)
    return JobStep(create=tuple(create), delete=tuple(delete), status=status, release=tuple(release))


def _count(job: Manifest, pods: list[Manifest], *, give_up: bool) -> _Counts:
    """Count the pods that ended. With `give_up`, a pod that has not succeeded counts as failed."""
    status = job.get("status") or {}
    listed = status.get("uncountedTerminatedPods") or {}
    held = {pod["metadata"]["uid"]: pod for pod in pods if _is_held(pod)}
    indexed = _is_indexed(job)
    succeeded = [uid for uid, pod in held.items() if phase(pod) == "Succeeded"]
    failed = [uid for uid, pod in held.items() if _has_failed(pod, give_up=give_up)]
    before = {name: tuple(listed.get(name, ())) for name in ("failed", "succeeded")}
    indexes = (
        {*_parse(status.get("completedIndexes", "")), *(_index(held[uid]) for uid in succeeded)} if indexed else set()
    )
    return _Counts(
        failed=status.get("failed", 0) + sum(uid not in held for uid in before["failed"]),
        failing=tuple(dict.fromkeys([*(uid for uid in before["failed"] if uid in held), *failed])),
        succeeded=0 if indexed else status.get("succeeded", 0) + sum(uid not in held for uid in before["succeeded"]),
        succeeding=() if indexed else tuple(succeeded),
        indexes=tuple(sorted(indexes)),
    )


def _has_failed(pod: Manifest, *, give_up: bool) -> bool:
    """Whether the pod counts as failed. A pod that is being deleted does: `podReplacementPolicy: TerminatingOrFailed`."""
    return phase(pod) == "Failed" or (phase(pod) != "Succeeded" and (give_up or is_deleted(pod)))


def _is_counted(pod: Manifest, counts: _Counts) -> bool:
    uid = pod["metadata"]["uid"]
    return _is_held(pod) and (uid in counts.failing or uid in counts.succeeding or phase(pod) == "Succeeded")


def _is_held(pod: Manifest) -> bool:
    return FINALIZER in pod["metadata"].get("finalizers", ())


def _missing(
    job: Manifest, active: list[Manifest], counts: _Counts, *, suffix: Callable[[], str]
) -> Iterator[Manifest]:
    """Yield the pods to create: at most `parallelism` run at once, and at most as many as still have to succeed."""
    wanted = min(_completions(job) - counts.done, job["spec"].get("parallelism", 1)) - len(active)
    if _is_indexed(job):
        taken = {*counts.indexes, *map(_index, active)}
        free = (index for index in range(_completions(job)) if index not in taken)
        yield from (_pod(job, index=index, suffix=suffix()) for index in islice(free, max(0, wanted)))
    else:
        yield from (_pod(job, index=None, suffix=suffix()) for _ in range(wanted))


def _pod(job: Manifest, *, index: int | None, suffix: str) -> Manifest:
    name, uid = job["metadata"]["name"], job["metadata"]["uid"]
    labels = {
        "batch.kubernetes.io/controller-uid": uid,
        "batch.kubernetes.io/job-name": name,
        "controller-uid": uid,
        "job-name": name,
    }
    mark = {} if index is None else {COMPLETION_INDEX: str(index)}
    prefix = name if index is None else f"{name}-{index}"
    pod = pod_from_template(job, name=f"{prefix}-{suffix}", labels=labels | mark, annotations=mark)
    pod["metadata"] |= {"generateName": f"{prefix}-", "finalizers": [FINALIZER]}
    if index is not None:
        pod["spec"]["hostname"] = prefix
        variable = {
            "name": "JOB_COMPLETION_INDEX",
            "valueFrom": {"fieldRef": {"fieldPath": f"metadata.labels['{COMPLETION_INDEX}']"}},
        }
        for container in pod["spec"]["containers"]:
            container["env"] = [*container.get("env", ()), variable]
    return pod


def _healthy(job: Manifest, conditions: list[Condition], *, done: bool, now: str) -> list[Condition]:
    """Return the conditions of a Job that has not failed."""
    if done:
        return _add_condition(conditions, "SuccessCriteriaMet", "CompletionsReached", now=now)
    if job["spec"].get("suspend"):
        suspended = {"type": "Suspended", "status": "True", "reason": "JobSuspended", "message": "Job suspended"}
        return with_condition(conditions, suspended, now=now)
    if is_true(conditions, "Suspended"):
        resumed = {"type": "Suspended", "status": "False", "reason": "JobResumed", "message": "Job resumed"}
        return with_condition(conditions, resumed, now=now)
    return conditions


_MESSAGES = {
    "BackoffLimitExceeded": "Job has reached the specified backoff limit",
    "CompletionsReached": "Reached expected number of succeeded pods",
}


def _add_condition(conditions: list[Condition], kind: str, reason: str, *, now: str) -> list[Condition]:
    """Return the conditions with one more. A condition that holds already stays as it is."""
    if is_true(conditions, kind):
        return conditions
    new = {"type": kind, "status": "True", "reason": reason, "message": _MESSAGES[reason]}
    return [*conditions, new | {"lastTransitionTime": now}]


def _status(job: Manifest, counts: _Counts, conditions: list[Condition], *, now: str) -> dict[str, Any]:
    old = job.get("status") or {}
    was, suspended = is_true(old.get("conditions"), "Suspended"), is_true(conditions, "Suspended")
    started = None if suspended else now if was else old.get("startTime", now)
    uncounted = {"failed": list(counts.failing), "succeeded": list(counts.succeeding)}
    status: dict[str, Any] = {
        "conditions": conditions,
        "failed": counts.failed,
        "succeeded": counts.succeeded + len(counts.indexes),
        "uncountedTerminatedPods": {name: uids for name, uids in uncounted.items() if uids},
    }
    if started:
        status["startTime"] = started
    if counts.indexes:
        status["completedIndexes"] = _as_ranges(counts.indexes)
    return status


def _finished(status: dict[str, Any], *, before: Manifest, now: str) -> dict[str, Any]:
    """Return the status with the final condition, once all pods are counted and none is being ended.

    The final condition comes at least one stored status after the interim condition, so that watchers see both.
    """
    previous = (before.get("status") or {}).get("conditions")
    if status["uncountedTerminatedPods"] or status["active"] or status["terminating"]:
        return status
    if is_true(previous, "FailureTarget"):
        return status | {"conditions": _add_condition(status["conditions"], "Failed", "BackoffLimitExceeded", now=now)}
    if is_true(previous, "SuccessCriteriaMet"):
        conditions = _add_condition(status["conditions"], "Complete", "CompletionsReached", now=now)
        return status | {"conditions": conditions, "completionTime": now}
    return status


def _is_indexed(job: Manifest) -> bool:
    return bool(job["spec"].get("completionMode") == "Indexed")


def _completions(job: Manifest) -> int:
    return int(job["spec"].get("completions", 1))


def _index(pod: Manifest) -> int:
    return int(pod["metadata"]["annotations"][COMPLETION_INDEX])


def _parse(text: str) -> Iterator[int]:
    for part in filter(None, text.split(",")):
        first, _, last = part.partition("-")
        yield from range(int(first), int(last or first) + 1)


def _as_ranges(indexes: tuple[int, ...]) -> str:
    """Return indexes as Kubernetes writes them: `0,1,3-5`, a dash from three in a row."""
    runs: list[list[int]] = []
    for index in indexes:
        if runs and runs[-1][-1] == index - 1:
            runs[-1].append(index)
        else:
            runs.append([index])
    return ",".join(f"{run[0]}-{run[-1]}" if len(run) > 2 else ",".join(map(str, run)) for run in runs)
