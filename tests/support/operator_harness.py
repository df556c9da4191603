"""`OperatorHarness`: the operator on a `MemoryCluster`. The test plays kubelet and Job controller, and moves the clock."""

from __future__ import annotations

import asyncio
import contextlib
import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from memory_cluster import MemoryCluster, copied

from tuneloop_operator.controller.operator import Operator
from tuneloop_operator.controller.queue import WorkQueue

if TYPE_CHECKING:
    from tuneloop_operator.decide.decision import Event
    from tuneloop_operator.settings.operator import OperatorSettings

Manifest = dict[str, Any]
START = datetime(2026, 1, 1, 12, tzinfo=UTC)
INDEX = "batch.kubernetes.io/job-completion-index"
SPEC: Manifest = {
    "model": {"uri": "hf://FacebookAI/roberta-base"},
    "task": "text-classification",
    "data": {"train": [{"uri": "pvc://models/raw/reviews.csv"}]},
    "resources": {"nodes": 2, "gpusPerNode": 0},
    "storage": {"claim": "models"},
}
RESULT = {"path": "/tuneloop/claims/models/result.json", "sha256": "a" * 64}
SAVED = {"step": 100, "path": "/tuneloop/claims/models/step-100"}
SUMMARIES: dict[str, Manifest] = {
    "prepare": {
        "counts": {"rows": 100, "splits": {"train": 80, "test": 20}, "bad": 1, "duplicates": 2, "truncated": 3},
        "resolved": {
            "labels": ["bad", "good"],
            "maxTokens": 64,
            "globalBatchSize": 32,
            "microBatchSize": 8,
            "stepsPerEpoch": 50,
            "totalSteps": 100,
            "warmupSteps": 6,
            "learningRate": 0.0002,
            "precision": "fp32",
            "stage": 2,
        },
        "datasetDigest": "d1",
        "modelRevision": "r1",
        "reportPath": "/tuneloop/claims/models/report.json",
        "cacheHit": False,
    },
    "train": {"startStep": 0, "steps": 100, "worldSize": 2, "loss": 0.5, "last": SAVED, "best": SAVED},
    "export": {
        "artifactUri": "pvc://models/jobs/reviews/artifact",
        "digest": "sha256:" + "b" * 64,
        "sizeBytes": 1000,
        "formats": ["safetensors"],
        "metrics": [{"name": "accuracy", "split": "test", "value": 0.9, "low": 0.8, "high": 0.95}],
        "baselines": [{"name": "majority", "split": "test", "value": 0.5}],
    },
}


class OperatorHarness:
    """The operator on a memory cluster, with a clock that a test moves."""

    def __init__(self, settings: OperatorSettings) -> None:
        self.now = START
        self.settings = settings
        self.cluster = MemoryCluster(lambda: self.now)
        self.cluster.watchers.append(self._report)
        self.events: list[Event] = []
        """The Kubernetes Events that all its operators record, one after another."""
        self.errors: list[Exception] = []
        """What their reconciliations raised."""
        self.reconciliations = 0
        self._start_operator()

    def _start_operator(self) -> None:
        queue = WorkQueue(
            clock=lambda: (self.now - START).total_seconds(),  # noqa: PLW0108  (`now` moves)
            random=lambda: 0.0,
        )
        self.operator = Operator(
            cluster=self.cluster,
            settings=self.settings,
            clock=lambda: self.now,
            workers=2,
            queue=queue,
            events=self,
            instruments=self,
        )

    async def record(self, manifest: Manifest, event: Event) -> None:
        """Keep an event, as the operator's `EventRecorder`. One with a time of its own is kept once, as by the API server."""
        if event.at is None or event not in self.events:
            self.events.append(event)

    def taken(self, *, waited: float) -> None:
        """Count a reconciliation, as one of the operator's `Instruments`."""
        self.reconciliations += 1

    def reconciled(self, kind: str, *, seconds: float, error: Exception | None) -> None:
        """Keep an error, as one of the operator's `Instruments`."""
        if error is not None:
            self.errors.append(error)

    def restart_operator(self) -> None:
        """Lose everything that is only in the operator's memory."""
        self._start_operator()
        for manifest in list(self.cluster.objects.values()):
            self._report("ADDED", manifest)

    def _report(self, type_: str, manifest: Manifest) -> None:
        self.operator.on_event(type_, copied(manifest))

    async def settle(self, *, later: float = 0.0) -> None:
        """Let the operator do all that it can, `later` seconds from now."""
        self.now += timedelta(seconds=later)
        running = asyncio.create_task(self.operator.run())
        await asyncio.wait_for(self.operator.idle(), 10)
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running

    def submit(self, name: str = "reviews", **spec: Any) -> None:
        """Create a FineTuneJob."""
        metadata = {"name": name, "namespace": "team-a"}
        manifest = {"apiVersion": "tuneloop.dev/v1alpha1", "kind": "FineTuneJob", "metadata": metadata}
        self.cluster.add(manifest | {"spec": SPEC | spec})

    async def prepare(self, **spec: Any) -> None:
        """Create the job `reviews` and bring it to where its gang is created."""
        self.submit(**spec)
        await self.settle()
        self.succeed("reviews-prepare")
        await self.settle()

    async def train(self) -> None:
        """Create the job `reviews` and bring it to where its gang runs."""
        await self.prepare()
        self.start_pods("reviews-a1")
        await self.settle()

    def job(self, name: str = "reviews") -> Manifest:
        """Return the FineTuneJob as stored."""
        return self.cluster.objects["FineTuneJob", "team-a", name]

    @property
    def status(self) -> Manifest:
        """The status of the job `reviews`."""
        return self.job().get("status", {})

    def start_pods(self, job: str) -> None:
        """Play Job controller and kubelet: one running pod for each index of a Job."""
        manifest = self.cluster.objects["Job", "team-a", job]
        for index in range(manifest["spec"].get("completions", 1)):
            owner = {
                "apiVersion": "batch/v1",
                "kind": "Job",
                "name": job,
                "uid": manifest["metadata"]["uid"],
                "controller": True,
            }
            metadata = {
                "name": f"{job}-{index}",
                "namespace": "team-a",
                "labels": manifest["spec"]["template"]["metadata"]["labels"],
                "annotations": {INDEX: str(index)},
                "ownerReferences": [owner],
            }
            spec = manifest["spec"]["template"]["spec"] | {"nodeName": "node-1"}
            pod = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}
            running = {"state": {"running": {"startedAt": self.stamp()}}}
            ready = [{"type": "Ready", "status": "True"}]
            status = {"phase": "Running", "conditions": ready, "containerStatuses": [running]}
            self.cluster.add(pod | {"status": status})

    def end_pod(self, name: str, *, exit_code: int, message: Any = "", reason: str = "") -> None:
        """Let a pod's container end."""
        pod = self.cluster.objects["Pod", "team-a", name]
        (container,) = pod["status"]["containerStatuses"]
        text = message if isinstance(message, str) else json.dumps(message)
        terminated = {"exitCode": exit_code, "message": text, "finishedAt": self.stamp()}
        terminated |= container["state"].get("running", {})
        terminated |= {"reason": reason} if reason else {}
        status = {
            "phase": "Failed" if exit_code else "Succeeded",
            "containerStatuses": [{"state": {"terminated": terminated}}],
        }
        self.cluster.change(pod, status=status)

    def end_job(self, name: str, condition: str) -> None:
        """Let the Job controller decide on a Job: Complete, FailureTarget or Failed."""
        declared = {
            "type": condition,
            "status": "True",
            "lastTransitionTime": self.stamp(),
            "message": "by the controller",
        }
        self.cluster.change(self.cluster.objects["Job", "team-a", name], status={"conditions": [declared]})

    def succeed(self, job: str, result: Manifest = RESULT, **made: Any) -> None:
        """Run a Job to its good end. `made`: fields of its summary in place of the usual ones."""
        stage = self.cluster.objects["Job", "team-a", job]["metadata"]["labels"]["tuneloop.dev/stage"]
        if f"{job}-0" not in self.cluster.of_kind("Pod"):
            self.start_pods(job)
        message = {"version": 1, "stage": stage, "outcome": "Succeeded"}
        for name in [name for name in self.cluster.of_kind("Pod") if name.startswith(f"{job}-")]:
            whole = message | {"result": result, stage: SUMMARIES[stage] | made} if name.endswith("-0") else message
            self.end_pod(name, exit_code=0, message=whole)
        self.end_job(job, "Complete")

    def fail(self, job: str, *, exit_code: int, message: Any = "", reason: str = "") -> None:
        """Run a Job until all its pods fail alike."""
        self.start_pods(job)
        for name in [name for name in self.cluster.of_kind("Pod") if name.startswith(f"{job}-")]:
            self.end_pod(name, exit_code=exit_code, message=message, reason=reason)
        self.end_job(job, "FailureTarget")

    def stamp(self) -> str:
        """Return the time as the API server writes it."""
        return self.now.strftime("%Y-%m-%dT%H:%M:%SZ")

    @property
    def jobs(self) -> set[str]:
        """Names of the Jobs that exist."""
        return set(self.cluster.of_kind("Job"))
