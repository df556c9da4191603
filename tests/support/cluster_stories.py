"""What the stories on a node have in common: one job, what was observed of it, and its undisturbed run."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cluster_release import GIVE_UP_SECONDS
from cluster_watch import watching
from waiting import deadline_after
from workspace import deployment_manifest, job_manifest

if TYPE_CHECKING:
    from cluster_release import Release, Tenant

ROWS = 400
STEPS = 80
JOB = job_manifest(
    training={"maxSteps": STEPS, "globalBatchSize": 16, "microBatchSize": 4, "learningRate": 1e-3},
    checkpoint={"everySteps": 20},
)
"""A job named `reviews` on two nodes: the same wherever it runs, so that what it makes can be compared."""
SMALLEST: dict[str, Any] = {
    "training": {"maxSteps": 2, "globalBatchSize": 8, "microBatchSize": 8, "learningRate": 1e-3},
    "resources": {"nodes": 1, "gpusPerNode": 0},
    "checkpoint": {"everySteps": 2},
    "preflight": {"rehearsal": False},
}
"""The spec of the job that takes least: each stage takes about ten seconds of a core to import torch, and so would a rehearsal, and a second rank."""
STAGES = ("prepare", "train", "export")


@dataclass(frozen=True, kw_only=True)
class Stage:
    """What a story gets that runs beside others."""

    release: Release
    """With a connection to the cluster of its own."""
    folder: Path
    image: Path
    """The docker archive of the image that all pods run, but routers."""
    base: Path
    """The docker archive of a Debian with Python and nothing of ours."""


@dataclass(frozen=True, kw_only=True)
class Served:
    """What was observed while a job ran and its model came into service."""

    tenant: Tenant
    jobs: list[dict[str, Any]]
    """The statuses of the job, oldest first."""
    deployments: list[dict[str, Any]]
    """The statuses of the deployment, oldest first."""

    @property
    def job(self) -> dict[str, Any]:
        """The job's last status."""
        return self.jobs[-1]

    @property
    def url(self) -> str:
        """The address of the deployment's Service, from this machine."""
        (service,) = [service for service in self.tenant.list("services") if service["metadata"]["name"] == "reviews"]
        return f"http://{service['spec']['clusterIP']}"


def served(release: Release, namespace: str, folder: Path) -> Served:
    """Apply the job and a deployment of its model, and return once that answers."""
    tenant = release.in_namespace(namespace)
    with (
        watching(release.cluster, "finetunejobs", namespace=namespace, folder=folder) as jobs,
        watching(release.cluster, "modeldeployments", namespace=namespace, folder=folder) as deployments,
    ):
        tenant.apply(JOB, deployment_manifest())
        tenant.until(
            lambda: tenant.status("modeldeployments", "reviews").get("phase") == "Ready",
            what="a served model",
        )
        return Served(tenant=tenant, jobs=jobs.statuses("reviews"), deployments=deployments.statuses("reviews"))


def stage_of(name: str) -> str:
    """Return the stage of the job `reviews` to which a Job or a pod belongs, by its name."""
    part = name.split("-")[1]
    return "train" if part == "a1" else part


def runs(status: dict[str, Any], container: str) -> bool | None:
    """Whether a container of a pod with this status runs; None before the kubelet has reported it."""
    containers = [*status.get("containerStatuses", ()), *status.get("initContainerStatuses", ())]
    return next(("running" in found["state"] for found in containers if found["name"] == container), None)


def first_checkpoint(tenant: Tenant) -> int:
    """Return the step of the newest checkpoint of the job as soon as there is one on the claim."""
    uid = tenant.get("finetunejobs", "reviews")["metadata"]["uid"]
    folder = tenant.release.claim / "jobs" / f"reviews-{uid[:8]}" / "checkpoints"
    deadline = deadline_after(GIVE_UP_SECONDS)
    while time.monotonic() < deadline:
        committed = [path.parent.name for path in folder.glob("step-*/MANIFEST.json") if ".tmp" not in path.parent.name]
        if committed:
            return max(int(name.split("-")[1]) for name in committed)
        time.sleep(0.05)
    raise AssertionError(f"no checkpoint in time\n{tenant.report()}")


def kill_processes(pod: dict[str, Any]) -> None:
    """End the processes of the operator's pod as a machine that loses power would: they say good-bye to nobody."""
    uid = pod["metadata"]["uid"]
    killed = 0
    for path in Path("/proc").glob("[0-9]*/cgroup"):
        try:
            is_its = uid in path.read_text() and "tuneloop_operator" in (path.parent / "cmdline").read_text()
        except OSError:  # it has ended meanwhile
            continue
        if is_its:
            os.kill(int(path.parent.name), signal.SIGKILL)
            killed += 1
    assert killed, f"no process of the operator in pod {uid}"
