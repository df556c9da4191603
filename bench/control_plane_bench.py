"""The bench of the control plane's benchmark: a control plane, functions that create objects, and one observer with one clock.

Nothing runs in the pods: `PodStatusPatcher` of `tests/support` acts as the kubelet. Imported by `control_plane.py`.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import sys
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / folder) for folder in ("api", "operator", "dev", "tests/support")]

from api_session import ApiSession, WatchExpiredError  # noqa: E402
from cluster_tier import install_crds  # noqa: E402
from kubeconfigs import connection_of  # noqa: E402
from operator_process import RunningOperator  # noqa: E402
from pod_scripts import PodLifecycle  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable

    from cluster.control_plane import ControlPlane
    from pod_scripts import Pod

TUNELOOP = "/apis/tuneloop.dev/v1alpha1/namespaces/{}/finetunejobs"
BATCH = "/apis/batch/v1/namespaces/{}/jobs"
_LEASE = "/apis/coordination.k8s.io/v1/namespaces/tuneloop-system/leases/tuneloop-operator"
_AT_ONCE = 16
_DONE = {"SuccessCriteriaMet", "Complete"}
_FOLLOWED = ("/apis/tuneloop.dev/v1alpha1/finetunejobs", "/apis/batch/v1/jobs", "/api/v1/pods")
_POLL_SECONDS = 0.005
_LEADER_POLL_SECONDS = 0.05
_PROGRESS = {"progress", "checkpoint", "restarts", "workers"}
"""Fields of a status whose change alone is progress: the operator writes it at most once in 10 s for a job."""
_CREATED = frozenset({201})


def unplayed(_pod: Pod, _attempt: int, _stage: str, _index: int) -> PodLifecycle:
    """Leave a pod as it was stored: the pod waits for a node."""
    return PodLifecycle(())


@dataclass
class Observer:
    """The time of the first watch event of each object, on the monotonic clock. Keys are (namespace, name)."""

    jobs: dict[tuple[str, str], float] = field(default_factory=dict)
    """FineTuneJob → first event."""
    plain: dict[tuple[str, str], float] = field(default_factory=dict)
    """Plain Job → first event."""
    stages: dict[tuple[str, str, str], float] = field(default_factory=dict)
    """Namespace, FineTuneJob and stage → first event of the stage's Job."""
    prepared: dict[tuple[str, str], float] = field(default_factory=dict)
    """FineTuneJob → first event with a prepare Job that has succeeded."""
    pods: dict[tuple[str, str, str], list[float]] = field(default_factory=lambda: defaultdict(list))
    """Namespace, FineTuneJob or plain Job, and stage or `plain` → first event of each pod."""
    statuses: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    """FineTuneJob → newest status."""
    progress_writes: Counter[str] = field(default_factory=Counter)
    """Namespace → number of status changes that changed nothing but progress."""

    def on_event(self, event: dict[str, Any], path: str) -> None:
        """Record one event."""
        if event["type"] == "BOOKMARK":
            return
        now, found = time.monotonic(), event["object"]
        metadata = found["metadata"]
        name, labels = (metadata["namespace"], metadata["name"]), metadata.get("labels") or {}
        if path.endswith("finetunejobs"):
            self.jobs.setdefault(name, now)
            self._on_status(name, found.get("status", {}))
        elif path.endswith("jobs"):
            if owner := labels.get("tuneloop.dev/job"):
                self.stages.setdefault((name[0], owner, labels["tuneloop.dev/stage"]), now)
            self._on_job(found, name, owner=owner, now=now)
        elif event["type"] == "ADDED":
            owner = labels.get("tuneloop.dev/job") or labels["batch.kubernetes.io/job-name"]
            self.pods[name[0], owner, labels.get("tuneloop.dev/stage", "plain")].append(now)

    def phase(self, name: tuple[str, str]) -> str:
        """Return the phase of a FineTuneJob; empty if it has none."""
        return self.statuses.get(name, {}).get("phase", "")

    def _on_status(self, name: tuple[str, str], status: dict[str, Any]) -> None:
        old = self.statuses.get(name, {})
        changed = {key for key in old.keys() | status.keys() if old.get(key) != status.get(key)}
        self.progress_writes[name[0]] += bool(changed) and changed <= _PROGRESS
        self.statuses[name] = status

    def _on_job(self, found: dict[str, Any], name: tuple[str, str], *, owner: str | None, now: float) -> None:
        if owner is None:
            self.plain.setdefault(name, now)
        elif name[1].endswith("-prepare"):
            conditions = found.get("status", {}).get("conditions") or ()
            if any(condition["type"] in _DONE and condition["status"] == "True" for condition in conditions):
                self.prepared.setdefault((name[0], owner), now)


class ControlPlaneBench:
    """A control plane with an observer. Create and use it in one event loop."""

    def __init__(self, plane: ControlPlane, folder: Path) -> None:
        self.plane = plane
        self.folder = folder
        self.api = ApiSession(connection_of(plane.kubeconfig))
        self.observer = Observer()
        self._watching = ApiSession(connection_of(plane.kubeconfig))
        self._replicas = itertools.count()
        self.template: dict[str, Any] = {}
        """The pod template of the gangs of FineTuneJobs; plain Jobs get the same."""

    @classmethod
    @contextlib.asynccontextmanager
    async def create(cls, plane: ControlPlane, folder: Path) -> AsyncIterator[ControlPlaneBench]:
        """Install the CRDs and start the observer; both end with the context."""
        install_crds(plane)
        bench = cls(plane, folder)
        await bench.namespace("tuneloop-system")
        watches = [asyncio.create_task(bench._follow(path)) for path in _FOLLOWED]
        try:
            yield bench
        finally:
            for task in watches:
                task.cancel()
            await asyncio.gather(*watches, return_exceptions=True)
            await bench.api.close()
            await bench._watching.close()

    def launch(self, **settings: Any) -> RunningOperator:
        """Start a replica of the operator; it ends with this thread. The replica before must have ended. settings: as of `RunningOperator`."""
        pod = f"operator-{next(self._replicas)}"
        running = RunningOperator(None, self.folder, pod=pod, kubeconfig=self.plane.kubeconfig, fresh=True, **settings)
        running.start()
        return running

    async def until_leader(self, running: RunningOperator) -> None:
        """Return once this replica is the leader."""
        while True:
            status, lease = await self.api.ask("GET", _LEASE, accept={200, 404})
            if status == 200 and lease["spec"].get("holderIdentity") == running.pod:
                return
            await asyncio.sleep(_LEADER_POLL_SECONDS)

    async def namespace(self, name: str) -> str:
        """Create a namespace, and return once it admits pods."""
        await self.api.ask("POST", "/api/v1/namespaces", {"metadata": {"name": name}})
        account = f"/api/v1/namespaces/{name}/serviceaccounts/default"
        while (await self.api.ask("GET", account, accept={200, 404}))[0] != 200:  # noqa: ASYNC110  (another process creates it)
            await asyncio.sleep(_POLL_SECONDS)
        return name

    async def submit(self, namespace: str, name: str, *, nodes: int, suspend: bool = False) -> dict[str, Any]:
        """Create a FineTuneJob."""
        return (
            await self.api.ask("POST", TUNELOOP.format(namespace), job_manifest(name, nodes=nodes, suspend=suspend))
        )[1]

    async def submit_plain(self, namespace: str, name: str, *, nodes: int) -> float:
        """Create an Indexed Job with the pods of a gang; return the time of the request, on the observer's clock."""
        template = {"metadata": {"labels": {"peer": "plain"}}, "spec": self.template["spec"]}
        spec = {
            "completionMode": "Indexed",
            "completions": nodes,
            "parallelism": nodes,
            "backoffLimit": 0,
            "template": template,
        }
        body = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}, "spec": spec}
        requested = time.monotonic()
        await self.api.ask("POST", BATCH.format(namespace), body, accept=_CREATED)
        return requested

    async def learn_template(self, namespace: str, name: str) -> None:
        """Read the pod template of a FineTuneJob's first gang into `template`."""
        query = f"?labelSelector=tuneloop.dev/job={name},tuneloop.dev/stage=train"
        _, found = await self.api.ask("GET", BATCH.format(namespace) + query)
        self.template = found["items"][0]["spec"]["template"]

    async def stored(self, namespace: str, owner: str, stage: str, *, count: int, seconds: float = 60.0) -> list[float]:
        """Return the times of these pods' first events once there are `count` of them."""
        times = self.observer.pods[namespace, owner, stage]
        await until(lambda: len(times) >= count, seconds=seconds, what=f"{stage} pods of {namespace}/{owner}")
        return times

    async def _follow(self, path: str) -> None:
        while True:
            _, listed = await self._watching.ask("GET", path)
            version = listed["metadata"]["resourceVersion"]
            with contextlib.suppress(WatchExpiredError):
                while True:
                    async for event in self._watching.watch(path, query="", version=version):
                        version = event["object"]["metadata"]["resourceVersion"]
                        self.observer.on_event(event, path)


def job_manifest(name: str, *, nodes: int, suspend: bool = False) -> dict[str, Any]:
    """Return a FineTuneJob of a typical size."""
    spec = {
        "model": {"uri": "hf://FacebookAI/roberta-base"},
        "task": "text-classification",
        "data": {"train": [{"uri": "pvc://models/raw/reviews.csv"}]},
        "training": {"epochs": 3, "globalBatchSize": 64, "learningRate": 0.00002},
        "resources": {"nodes": nodes, "gpusPerNode": 1},
        "storage": {"claim": "models"},
    }
    if suspend:
        spec["suspend"] = True
    return {"apiVersion": "tuneloop.dev/v1alpha1", "kind": "FineTuneJob", "metadata": {"name": name}, "spec": spec}


async def until(holds: Callable[[], bool], *, seconds: float, what: str, every: float = _POLL_SECONDS) -> None:
    """Return once `holds()` is true. Raises RuntimeError at the deadline."""
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            raise RuntimeError(f"{what}: not within {seconds:g} s")
        await asyncio.sleep(every)


async def all_at_once(works: Iterable[Callable[[], Awaitable[Any]]]) -> None:
    """Run all of them, 16 at a time."""
    left = iter(works)

    async def worker() -> None:
        for work in left:
            await work()

    await asyncio.gather(*(worker() for _ in range(_AT_ONCE)))


def renamed(document: Any, *, old: dict[str, str]) -> Any:
    """Return a JSON document with these texts replaced everywhere."""
    text = json.dumps(document)
    for before, after in old.items():
        text = text.replace(before, after)
    return json.loads(text)
