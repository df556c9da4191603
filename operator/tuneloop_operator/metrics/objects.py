"""What Prometheus is told of each object: computed from the store at every scrape, so that series vanish with their object.

Pure: the store and the time in, Prometheus' text out. Labels are namespaces, names and our own closed sets of words, never a user's
text, so that nothing in them needs an escape. The text is made here and not by the client library, which takes many times as long, and
the operator does nothing else meanwhile.
"""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from typing import TYPE_CHECKING, Any, get_args

from tuneloop_api.v1alpha1.fine_tune_job.status import JobPhase
from tuneloop_api.v1alpha1.model_deployment.spec import DeploymentPhase
from tuneloop_api.wire.failure_class import FailureClass

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tuneloop_api.contract.progress import ProgressMessage
    from tuneloop_operator.cluster import Kind, Manifest
    from tuneloop_operator.controller.store import Store

_AT_WORK = {"Preparing", "Running", "Exporting"}
_CLASSES = frozenset(FailureClass)


def text(store: Store, *, now: datetime) -> str:
    """Return the metrics of all FineTuneJobs and ModelDeployments in Prometheus' text format."""
    jobs = list(store.of_kind("FineTuneJob", namespace=None))
    deployments = store.of_kind("ModelDeployment", namespace=None)
    made = _JobFamilies()
    for job in jobs:
        made.add(job, message=store.progress(job["metadata"]["uid"]), started=_attempt_created(store, job), now=now)
    counts = (
        _by_phase("tuneloop_jobs", "FineTuneJobs by phase.", jobs, get_args(JobPhase)),
        _by_phase("tuneloop_model_deployments", "ModelDeployments by phase.", deployments, get_args(DeploymentPhase)),
    )
    return "".join(family.text for family in (*counts, *made.all))


class _Family:
    """One metric with its series."""

    def __init__(self, name: str, kind: str, about: str) -> None:
        self._name = f"{name}_total" if kind == "counter" else name
        self._lines = [f"# HELP {self._name} {about}\n# TYPE {self._name} {kind}\n"]

    def add(self, labels: str, value: float | None) -> None:
        """Add a series; none if there is no value."""
        if value is not None:
            self._lines.append(f"{self._name}{{{labels}}} {float(value)}\n")

    @property
    def text(self) -> str:
        """The metric in Prometheus' text format."""
        return "".join(self._lines)


class _JobFamilies:
    """One family for each fact that a job's status or its newest progress message holds."""

    def __init__(self) -> None:
        self.all: list[_Family] = []
        self._progress = self._gauge("progress_ratio", "Part of the whole job that is done, 0 to 1.")
        self._step = self._gauge("step", "Optimizer steps done.")
        self._loss = self._gauge("loss", "Training loss of the last reported step.")
        self._tokens = self._gauge("tokens_per_second", "Tokens trained per second over all ranks, without padding.")
        self._heartbeat = self._gauge("heartbeat_timestamp_seconds", "When the stage at work last reported.")
        self._age = self._gauge("checkpoint_age_seconds", "Age of the newest checkpoint of a job that trains.")
        self._wait = self._gauge("queue_wait_seconds", "How long the current attempt has been waiting for its pods.")
        self._save = self._gauge(
            "checkpoint_save_seconds", "95th percentile of the time from the begin of a save to the whole checkpoint."
        )
        self._first_step = self._gauge(
            "time_to_first_step_seconds", "From the start of the job's first stage to its first optimizer step."
        )
        self._gpu_seconds = self._family(
            "gpu_seconds", "counter", "GPUs held by running training pods times the seconds that they were held."
        )
        self._lost = self._family("lost_steps", "counter", "Optimizer steps of ended attempts that no checkpoint held.")
        self._goodput = self._gauge(
            "goodput_ratio", "Part of the running time that went into steps that were kept, 0 to 1; up to the last end."
        )
        self._restarts = self._family("restarts", "counter", "Restarts of the training, by what they count against.")
        self._completed = self._family(
            "completed", "counter", "1 for a job that is over; class is that of its failure."
        )

    def add(self, job: Manifest, *, message: ProgressMessage | None, started: datetime | None, now: datetime) -> None:
        """Add the series of one job."""
        status = job.get("status") or {}
        phase, progress = status.get("phase"), _newest(status, message)
        metadata = job["metadata"]
        named = f'namespace="{metadata["namespace"]}",name="{metadata["name"]}"'
        self._progress.add(named, _ratio(progress.get("percent")))
        self._step.add(named, progress.get("step"))
        self._loss.add(named, progress.get("loss"))
        if phase in _AT_WORK:
            self._heartbeat.add(named, _timestamp(progress.get("lastHeartbeat")))
        if phase == "Running":
            self._tokens.add(named, progress.get("tokensPerSecond"))
            saved = _timestamp(((status.get("checkpoint") or {}).get("latest") or {}).get("time"))
            self._age.add(named, None if saved is None else max(now.timestamp() - saved, 0.0))
            self._save.add(named, progress.get("saveSecondsP95"))
        if phase == "Queued" and started is not None:
            self._wait.add(named, max((now - started).total_seconds(), 0.0))
        self._add_usage(named, job, status, now=now)
        for class_ in ("failure", "disruption") if status.get("restarts") else ():
            self._restarts.add(f'{named},class="{class_}"', status["restarts"].get(class_, 0))
        if phase in {"Succeeded", "Failed"}:
            failure = (status.get("failure") or {}).get("class", "")
            known = failure if failure in _CLASSES else FailureClass.UNKNOWN.value
            class_ = known if phase == "Failed" else ""
            self._completed.add(f'{named},result="{phase}",class="{class_}"', 1)

    def _add_usage(self, named: str, job: Manifest, status: dict[str, Any], *, now: datetime) -> None:
        """Add what the training has used: the status counts when pods stop, so that those that run are added here."""
        started, stepped = _timestamp(status.get("startTime")), _timestamp(status.get("firstStepTime"))
        if started is not None and stepped is not None:
            self._first_step.add(named, max(stepped - started, 0.0))
        usage, since = status.get("usage"), _timestamp(status.get("runningSince"))
        if usage is None and since is None:
            return
        counted = usage or {}
        running = 0.0 if since is None else max(now.timestamp() - since, 0.0)
        self._gpu_seconds.add(named, counted.get("gpuSeconds", 0.0) + running * _gpus(job, status))
        self._lost.add(named, counted.get("lostSteps", 0))
        self._goodput.add(named, counted.get("goodput"))

    def _gauge(self, name: str, about: str) -> _Family:
        return self._family(name, "gauge", about)

    def _family(self, name: str, kind: str, about: str) -> _Family:
        family = _Family(f"tuneloop_job_{name}", kind, about)
        self.all.append(family)
        return family


def _by_phase(name: str, about: str, objects: Iterable[Manifest], phases: Iterable[str]) -> _Family:
    """Count objects by phase; one that nobody has looked at yet is Pending."""
    counted = Counter((one.get("status") or {}).get("phase") or "Pending" for one in objects)
    family = _Family(name, "gauge", about)
    for phase in phases:
        family.add(f'phase="{phase}"', counted[phase])
    return family


def _newest(status: dict[str, Any], message: ProgressMessage | None) -> dict[str, Any]:
    """Return the progress as the status will show it next: writes of it are put off, posts are not."""
    written: dict[str, Any] = status.get("progress") or {}
    if (saved := (status.get("checkpoint") or {}).get("saveSecondsP95")) is not None:
        written = written | {"saveSecondsP95": saved}
    if message is None or (message.stage == "train" and message.attempt != status.get("attempt")):
        return written
    told = {
        "step": message.step,
        "loss": message.loss,
        "tokensPerSecond": message.tokens_per_second,
        "lastHeartbeat": message.sent_at,
        "saveSecondsP95": message.save_seconds_p95,
    }
    return written | {name: value for name, value in told.items() if value is not None}


def _gpus(job: Manifest, status: dict[str, Any]) -> int:
    """Return the number of GPUs that the pods of the current attempt hold."""
    resources = job["spec"].get("resources") or {}
    nodes: int = status.get("nodes") or resources.get("nodes", 1)
    return nodes * int(resources.get("gpusPerNode", 1))


def _attempt_created(store: Store, job: Manifest) -> datetime | None:
    child = ((job.get("status") or {}).get("children") or {}).get("train")
    if child is None:
        return None
    kind: Kind = "Job"
    found = store.get(kind, namespace=job["metadata"]["namespace"], name=child["name"])
    return datetime.fromisoformat(found["metadata"]["creationTimestamp"]) if found else None


def _ratio(percent: str | None) -> float | None:
    return None if percent is None else float(percent.removesuffix("%")) / 100


def _timestamp(text: str | None) -> float | None:
    return None if text is None else datetime.fromisoformat(text).timestamp()
