"""`Stage`: what a story of failures has: jobs, namespaces and nodes that it may break, under one operator and a real scheduler.

job = stage.job("reviews")
job.reach("Restarting")

Pods of jobs that ask for no accelerator are placed on nodes that nobody breaks: those of a story have no processor to give.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cluster.volumes import shared_claim
from end_state import KINDS
from foreign_hands import JOB_LABEL, Story
from free_ports import free_ports
from namespace_client import SPEC, NamespaceClient
from pod_scripts import Bind, End, PodLifecycle, Run, Until, by_attempt, fail
from stage_messages import success
from waiting import until

from tuneloop_api.wire.failure_class import FailureClass

if TYPE_CHECKING:
    import threading

    from cluster.control_plane import ControlPlane
    from fault_proxy import FaultProxy
    from operator_process import RunningOperator
    from pod_scripts import Script
    from pod_status_patcher import PodStatusPatcher

Manifest = dict[str, Any]
PHASES = (
    "Pending",
    "Preparing",
    "Queued",
    "Running",
    "Restarting",
    "Suspended",
    "Exporting",
    "Succeeded",
    "Failed",
)
LOW, URGENT = "low", "urgent"
"""PriorityClasses that there are."""
_LITTLE = {"cpu": "100m"}
_RESOURCES: Manifest = {"nodes": 2, "gpusPerNode": 0, **_LITTLE, "prepare": _LITTLE, "export": _LITTLE}
CHILDREN = ("Job", "Pod", "ConfigMap", "Service", "NetworkPolicy")


def start_scheduler(plane: ControlPlane) -> None:
    """Let a real scheduler place all pods of a control plane; it ends with the plane."""
    (port,) = free_ports(1)
    plane.programs.start(
        "kube-scheduler",
        [
            str(plane.bin / "kube-scheduler"),
            f"--kubeconfig={plane.kubeconfig}",
            "--leader-elect=false",
            "--bind-address=127.0.0.1",
            f"--secure-port={port}",
            f"--cert-dir={plane.state}/scheduler",
        ],
    )


@dataclass(frozen=True, kw_only=True)
class SharedEnvironment:
    """What all stories share."""

    plane: ControlPlane
    namespace: str
    kubelet: PodStatusPatcher
    proxy: FaultProxy
    operator: RunningOperator


class Stage:
    """What one story has of its own; for a thread of its own."""

    def __init__(self, environment: SharedEnvironment) -> None:
        self.environment = environment
        self.kubelet = environment.kubelet
        self.client = NamespaceClient(environment.plane, environment.namespace)

    def job(self, name: str, *, client: NamespaceClient | None = None) -> Job:
        """Return a job under a name of its own, which is yet to be submitted."""
        return Job(name, client=client or self.client, proxy=self.environment.proxy, kubelet=self.kubelet)

    def place(self, name: str, *, labels: Manifest | None = None, has_claim: bool = True) -> NamespaceClient:
        """Make a namespace with the claim `models`, and return once pods are admitted there."""
        self.make("/api/v1/namespaces", {"metadata": {"name": name, "labels": labels or {}}})
        if has_claim:
            self.furnish(name)
        account = f"/api/v1/namespaces/{name}/serviceaccounts/default"
        until(lambda: self.ask("GET", account).status == 200, seconds=30, what="a service account")
        return NamespaceClient(self.environment.plane, name)

    def furnish(self, namespace: str) -> None:
        """Give a namespace the claim `models`."""
        volume, claim = shared_claim("models", Path("/nowhere"), namespace=namespace, size="1Gi")
        self.make("/api/v1/persistentvolumes", volume)
        self.make(f"/api/v1/namespaces/{namespace}/persistentvolumeclaims", claim)

    def make(self, path: str, manifest: Manifest) -> Manifest:
        """Create any object as the administrator."""
        reply = self.ask("POST", path, manifest)
        assert reply.status == 201, reply.body
        return reply.body

    def ask(self, method: str, path: str, body: Any = None, **how: Any) -> Any:
        """Send one request as the administrator."""
        return self.client.request(method, path, body, **how)

    def add_node(self, job: Job, name: str) -> str:
        """Make a node for one pod of this job, and return its whole name. It has no processors, so that no other pod comes to it."""
        node = f"{job.name}-{name}"
        self.kubelet.add_node(node, {"cpu": "0", job.accelerator: "1"})
        return node

    def nodes(self, job: Job, *names: str) -> Manifest:
        """Make nodes for a job alone, and return the resources by which its gang is placed on them."""
        for name in names:
            self.add_node(job, name)
        return {"cpu": None, "gpusPerNode": 1, "gpuResource": job.accelerator}

    def evict(self, pod: Manifest) -> None:
        """Evict a pod as `kubectl drain` does."""
        metadata = {key: pod["metadata"][key] for key in ("name", "namespace")}
        path = f"/api/v1/namespaces/{metadata['namespace']}/pods/{metadata['name']}/eviction"
        self.make(path, {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": metadata})

    def change_node(self, name: str, change: Manifest) -> None:
        """Change a node as the administrator."""
        reply = self.ask("PATCH", f"/api/v1/nodes/{name}", change, content_type="application/merge-patch+json")
        assert reply.status == 200, reply.body


class Job(Story):
    """A job on two nodes, and what becomes of it."""

    def submit(self, **spec: Any) -> Manifest:
        """Create it; `spec`: fields that differ, `resources` those of them that do."""
        resources = _RESOURCES | spec.pop("resources", {})
        given = {name: value for name, value in resources.items() if value is not None}
        return self.client.submit(self.name, resources=given, **spec)

    def reach(self, phase: str) -> None:
        """Create it and return once it is in this phase, where it stays until `go_on(STAGE)`."""
        self.begin(phase)
        self.arrive(phase)

    def begin(self, phase: str) -> None:
        """Create it, on the way to this phase."""
        _PREPARED.get(phase, _nothing)(self)
        self.submit(**_SPEC_OF_PHASE.get(phase, {}))

    def arrive(self, phase: str) -> None:
        """Return once it is in this phase."""
        if phase == "Suspended":
            self.wait_for("Running")
            self.edit({"suspend": True})
        self.wait_for(phase)
        if phase == "Suspended":  # the use of its gang is counted once the pods have stopped
            until(lambda: "runningSince" not in self.status, seconds=60, what=f"the use of {self.name}")

    def edit(self, spec: Manifest) -> Manifest:
        """Change the spec as a user does."""
        return self.client.patch("FineTuneJob", self.name, {"spec": spec})

    def keep(self, stage: str) -> threading.Event:
        """Let the pods of a stage neither end nor, if it is training, come up until the event is set; return it."""
        self.hold(stage)
        return self._go[stage]

    @property
    def status(self) -> Manifest:
        """Its status."""
        return self.client.status(self.name)

    @property
    def accelerator(self) -> str:
        """A kind of accelerator that only nodes of this job have."""
        return f"example.com/{self.name}"

    def children(self, *kinds: str) -> list[Manifest]:
        """Return what has its label."""
        return [
            {"kind": kind} | child for kind in kinds or CHILDREN for child in self._labelled(kind, JOB_LABEL, self.name)
        ]

    def gang(self, attempt: int) -> list[Manifest]:
        """Return the pods of an attempt, by rank."""
        pods = self._labelled("Pod", "batch.kubernetes.io/job-name", f"{self.name}-a{attempt}")
        return sorted(pods, key=lambda pod: pod["metadata"]["name"])

    def _labelled(self, kind: str, label: str, value: str) -> list[Manifest]:
        path = KINDS[kind].format(namespace=self.client.namespace)
        reply = self.client.request("GET", path, query={"labelSelector": f"{label}={value}"})
        assert reply.status in {200, 404}, reply.body
        found: list[Manifest] = reply.body.get("items", [])
        return found

    def gang_on_nodes(self, attempt: int, *, number: int = 2, seconds: float = 90.0) -> dict[str, str]:
        """Return the pods of an attempt by their node, once so many have one."""

        def placed() -> dict[str, str]:
            found = {
                pod["spec"]["nodeName"]: pod["metadata"]["name"]
                for pod in self.gang(attempt)
                if "nodeName" in pod["spec"]
            }
            return found if len(found) == number else {}

        return until(placed, seconds=seconds, what=f"{number} placed pods of attempt {attempt} of {self.name}")

    def running(self) -> list[Manifest]:
        """Return its pods that have not ended."""
        return [pod for pod in self.children("Pod") if is_on(pod)]

    def run_config(self, attempt: int) -> Manifest:
        """Return what the pods of an attempt were given."""
        found: Manifest = json.loads(self.stored("ConfigMap", f"a{attempt}")["data"]["run.json"])
        return found

    def counted(self) -> dict[str, int]:
        """Return the restarts that are counted."""
        found = self.status.get("restarts") or {}
        return {name: found.get(name, 0) for name in ("total", "failure", "disruption")}


def waiting_to_start(go: threading.Event) -> Script:
    """Return a script of pods that have a node, and whose containers do not start until the event."""

    def script(pod: Manifest, attempt: int, stage: str, index: int) -> PodLifecycle:
        return PodLifecycle((Bind(), Until(go), Run(), End(message=success(stage, index=index))))

    return script


def is_on(pod: Manifest) -> bool:
    """Whether a pod has not ended."""
    return pod["status"]["phase"] not in {"Succeeded", "Failed"}


def _nothing(job: Job) -> None:
    pass


def _held(stage: str) -> Any:
    return lambda job: job.hold(stage)


def _queued(job: Job) -> None:
    go = job.keep("train")
    job.kubelet.scripts[f"{job.name}/train"] = waiting_to_start(go)


def _restarting(job: Job) -> None:
    go = job.keep("train")
    job.kubelet.scripts[f"{job.name}/train"] = by_attempt(fail(FailureClass.STORAGE), waiting_to_start(go))


def _failing(job: Job) -> None:
    job.kubelet.scripts[f"{job.name}/train"] = fail(FailureClass.USER_CODE)


_PREPARED: dict[str, Any] = {
    "Preparing": _held("prepare"),
    "Queued": _queued,
    "Running": _held("train"),
    "Restarting": _restarting,
    "Suspended": _held("train"),
    "Exporting": _held("export"),
    "Failed": _failing,
}
_SPEC_OF_PHASE: dict[str, Manifest] = {"Pending": {"model": {"uri": "file:///models/bert"}}}
"""A local path is refused in a cluster, so that the job waits to be mended."""
MENDED: Manifest = {"model": SPEC["model"]}
STAGE_OF_PHASE = {
    "Preparing": "prepare",
    "Queued": "train",
    "Running": "train",
    "Restarting": "train",
    "Suspended": "train",
    "Exporting": "export",
}
"""Which stage has to go on for a job in this phase to end."""
