"""The metrics of FineTuneJobs. Pure: stored objects and the time in, Prometheus' text out."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, get_args

from tuneloop_api.v1alpha1.fine_tune_job.status import JobPhase
from tuneloop_api.wire.failure_class import FailureClass
from tuneloop_operator.metrics.family import Family, by_phase

if TYPE_CHECKING:
    from tuneloop_api.contract.progress import ProgressMessage
    from tuneloop_operator.cluster import Manifest
    from tuneloop_operator.metrics.family import Objects

_ACTIVE_PHASES = {"Preparing", "Running", "Exporting"}
_CLASSES = frozenset(FailureClass)


def text(objects: Objects, now: datetime) -> str:
    """Return the metrics of all FineTuneJobs in Prometheus' text format."""
    jobs = list(objects.of_kind("FineTuneJob", namespace=None))
    families = _JobFamilies()
    for job in jobs:
        message = objects.progress(job["metadata"]["uid"])
        families.add(job, message=message, started=_attempt_created(objects, job), now=now)
    counts = by_phase("tuneloop_jobs", "FineTuneJobs by phase.", jobs, get_args(JobPhase))
    return "".join(family.text for family in (counts, *families.all))


class _JobFamilies:
    """A family for each number in the status of a job or in its newest progress message."""

    def __init__(self) -> None:
        self.all: list[Family] = []
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
        if phase in _ACTIVE_PHASES:
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
        """Add the usage of the training. The status counts pods when they stop; running pods are added here."""
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

    def _gauge(self, name: str, about: str) -> Family:
        return self._family(name, "gauge", about)

    def _family(self, name: str, kind: str, about: str) -> Family:
        family = Family(f"tuneloop_job_{name}", kind, about)
        self.all.append(family)
        return family


def _newest(status: dict[str, Any], message: ProgressMessage | None) -> dict[str, Any]:
    """Return the progress in the status, with the newer values of the message: messages come more often than status writes."""
    written: dict[str, Any] = status.get("progress") or {}
    if (saved := (status.get("checkpoint") or {}).get("saveSecondsP95")) is not None:
        written = written | {"saveSecondsP95": saved}
    if message is None or (message.stage == "train" and message.attempt != status.get("attempt")):
        return written
    posted = {
        "step": message.step,
        "loss": message.loss,
        "tokensPerSecond": message.tokens_per_second,
        "lastHeartbeat": message.sent_at,
        "saveSecondsP95": message.save_seconds_p95,
    }
    return written | {name: value for name, value in posted.items() if value is not None}


def _gpus(job: Manifest, status: dict[str, Any]) -> int:
    """Return the number of GPUs that the pods of the current attempt hold."""
    resources = job["spec"].get("resources") or {}
    nodes: int = status.get("nodes") or resources.get("nodes", 1)
    return nodes * int(resources.get("gpusPerNode", 1))


def _attempt_created(objects: Objects, job: Manifest) -> datetime | None:
    child = ((job.get("status") or {}).get("children") or {}).get("train")
    if child is None:
        return None
    found = objects.get("Job", namespace=job["metadata"]["namespace"], name=child["name"])
    return datetime.fromisoformat(found["metadata"]["creationTimestamp"]) if found else None


def _ratio(percent: str | None) -> float | None:
    return None if percent is None else float(percent.removesuffix("%")) / 100


def _timestamp(text: str | None) -> float | None:
    return None if text is None else datetime.fromisoformat(text).timestamp()
