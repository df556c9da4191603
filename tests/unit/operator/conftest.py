"""A small cluster in memory: an API server with uids, resource versions and watch events. The test plays kubelet and Job controller."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import json
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import TYPE_CHECKING, Any

import pytest

from tuneloop_operator.controller.operator import Operator
from tuneloop_operator.controller.queue import WorkQueue
from tuneloop_operator.errors import AlreadyExists, ClusterUnavailable, Conflict, Refused
from tuneloop_operator.settings.operator import OperatorSettings

if TYPE_CHECKING:
    from collections.abc import Callable

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


class MemoryCluster:
    """Implements the operator's `Cluster` on a dictionary; every write is reported to the watchers."""

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self.objects: dict[tuple[str, str, str], Manifest] = {}
        self.watchers: list[Callable[[str, Manifest], None]] = []
        self.writes: list[tuple[str, str, str]] = []
        """Verb, kind, name of each write of the operator."""
        self.reads = 0
        self.fail_write: int | None = None
        """Number of the write (from 0) whose answer is lost."""
        self.refuse: dict[str, str] = {}
        """Message by kind of what may not be created."""
        self.refused_phases: set[str] = set()
        """Phases of a status that the schema does not allow."""
        self.pods_take_their_time = False
        self.refused_pods: dict[str, str] = {}
        """Message by the uid of a Job whose pods may not be created."""
        self._clock = clock
        self._numbers = count(1)

    async def get(self, *, kind: str, namespace: str, name: str) -> Manifest | None:
        self.reads += 1
        return copy.deepcopy(self.objects.get((kind, namespace, name)))

    async def list(self, *, kind: str, namespace: str, labels: Manifest) -> list[Manifest]:
        self.reads += 1
        return [
            copy.deepcopy(stored)
            for (its_kind, its_namespace, _), stored in self.objects.items()
            if (its_kind, its_namespace) == (kind, namespace)
            and labels.items() <= stored["metadata"].get("labels", {}).items()
        ]

    async def create(self, manifest: Manifest) -> Manifest:
        if message := self.refuse.get(manifest["kind"]):
            raise Refused(message)
        if self._key(manifest) in self.objects:
            raise AlreadyExists(manifest["metadata"]["name"])
        return self._wrote("create", self.add(manifest))

    async def apply(self, manifest: Manifest) -> Manifest:
        if self._key(manifest) not in self.objects:
            return self._wrote("apply", self.add(manifest))
        stored = self.objects[self._key(manifest)]
        stored["metadata"]["labels"] = manifest["metadata"]["labels"]
        return self._wrote("apply", self.change(stored, spec=manifest["spec"]))

    async def delete(self, *, kind: str, namespace: str, name: str, uid: str) -> None:
        found = self.objects.get((kind, namespace, name))
        if found is not None and found["metadata"]["uid"] == uid:
            self.remove(found)
            self._wrote("delete", found)

    async def refusal(self, *, namespace: str, job_uid: str) -> str:
        self.reads += 1
        return self.refused_pods.get(job_uid, "")

    async def patch_status(self, manifest: Manifest, status: Manifest) -> Manifest:
        if status.get("phase") in self.refused_phases:
            raise Refused(f"status.phase: Unsupported value: {status['phase']}")
        stored = self.objects.get(self._key(manifest))
        if stored is None or stored["metadata"]["resourceVersion"] != manifest["metadata"]["resourceVersion"]:
            raise Conflict(manifest["metadata"]["name"])
        return self._wrote("patch_status", self.change(manifest, status=status))

    def add(self, manifest: Manifest) -> Manifest:
        """Store a new object, as if anybody had created it."""
        stored = copy.deepcopy(manifest)
        number = next(self._numbers)
        stored["metadata"] |= {
            "uid": f"uid-{number}",
            "resourceVersion": str(number),
            "generation": 1,
            "creationTimestamp": self._clock().strftime("%Y-%m-%dT%H:%M:%SZ"),
        }
        self.objects[self._key(stored)] = stored
        return self._notify("ADDED", stored)

    def change(self, manifest: Manifest, **fields: Any) -> Manifest:
        """Replace fields of a stored object, as if anybody had changed it."""
        stored = copy.deepcopy(self.objects[self._key(manifest)])
        stored |= copy.deepcopy(fields)
        stored["metadata"]["resourceVersion"] = str(next(self._numbers))
        stored["metadata"]["generation"] += "spec" in fields
        self.objects[self._key(stored)] = stored
        return self._notify("MODIFIED", stored)

    def remove(self, manifest: Manifest) -> None:
        """Remove an object and what it owns; its pods later, where they take their time."""
        gone = self.objects.pop(self._key(manifest))
        gone["metadata"]["resourceVersion"] = str(next(self._numbers))
        self._notify("DELETED", gone)
        uid = gone["metadata"]["uid"]
        for other in list(self.objects.values()):
            is_owned = any(owner["uid"] == uid for owner in other["metadata"].get("ownerReferences", ()))
            if is_owned and not (other["kind"] == "Pod" and self.pods_take_their_time):
                self.remove(other)

    def of_kind(self, kind: str) -> dict[str, Manifest]:
        """Return the objects of a kind by name."""
        return {name: stored for (its_kind, _, name), stored in self.objects.items() if its_kind == kind}

    def _notify(self, type_: str, manifest: Manifest) -> Manifest:
        for watcher in self.watchers:
            watcher(type_, copy.deepcopy(manifest))
        return copy.deepcopy(manifest)

    def _wrote(self, verb: str, manifest: Manifest) -> Manifest:
        self.writes.append((verb, manifest["kind"], manifest["metadata"]["name"]))
        if self.fail_write == len(self.writes) - 1:
            raise ClusterUnavailable("the answer was lost")
        return manifest

    @staticmethod
    def _key(manifest: Manifest) -> tuple[str, str, str]:
        return manifest["kind"], manifest["metadata"]["namespace"], manifest["metadata"]["name"]


class OperatorHarness:
    """The operator on a memory cluster, with a clock that a test moves."""

    def __init__(self, settings: OperatorSettings) -> None:
        self.now = START
        self.settings = settings
        self.cluster = MemoryCluster(lambda: self.now)
        self.cluster.watchers.append(self._report)
        self._start_operator()

    def _start_operator(self) -> None:
        queue = WorkQueue(
            clock=lambda: (self.now - START).total_seconds(),  # noqa: PLW0108  (`now` moves)
            random=lambda: 0.0,
        )
        self.operator = Operator(
            cluster=self.cluster, settings=self.settings, clock=lambda: self.now, workers=2, queue=queue
        )

    def restart_operator(self) -> None:
        """Lose everything that is only in the operator's memory."""
        self._start_operator()
        for manifest in list(self.cluster.objects.values()):
            self._report("ADDED", manifest)

    def _report(self, type_: str, manifest: Manifest) -> None:
        self.operator.on_event(type_, copy.deepcopy(manifest))

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
            pod = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"nodeName": "node-1"}}
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


@pytest.fixture
def harness() -> OperatorHarness:
    """An operator on an empty cluster."""
    return OperatorHarness(OperatorSettings(trainer_image="trainer:1", server_image="server:1"))


@pytest.fixture
def new_harness() -> Callable[[], OperatorHarness]:
    """Make further ones."""
    return lambda: OperatorHarness(OperatorSettings(trainer_image="trainer:1", server_image="server:1"))
