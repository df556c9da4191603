"""The controller manager of local mode: for each changed object it computes the controller's next step and carries it out."""

from __future__ import annotations

import asyncio
import secrets
from typing import TYPE_CHECKING

from tuneloop_cli.local.cluster.clock import now
from tuneloop_cli.local.cluster.pod_objects import is_active, is_ready, seniority
from tuneloop_cli.local.controllers.deployment_controller import deployment_step
from tuneloop_cli.local.controllers.job_controller import FINALIZER, job_step
from tuneloop_operator.status.model_deployment.deployment import LOCAL_URL

if TYPE_CHECKING:
    from tuneloop_cli.local.cluster.cluster import EventType, LocalCluster
    from tuneloop_operator.cluster import Manifest

    Key = tuple[str, str, str, str]
    """Kind, namespace, name, uid."""

_SUFFIX_LETTERS = "bcdfghjklmnpqrstvwxz2456789"
"""The letters that Kubernetes uses: without vowels a suffix forms no word."""


class ControllerManager:
    """Drives the Job and Deployment controllers of one folder, and the addresses of Services."""

    def __init__(self, cluster: LocalCluster) -> None:
        self._cluster = cluster
        self._changed: dict[Key, None] = {}
        self._wake = asyncio.Event()

    def on_event(self, _event: EventType, manifest: Manifest) -> None:
        """Queue the object that changed, or the owners of a pod that changed."""
        metadata = manifest["metadata"]
        if manifest["kind"] in {"Job", "Deployment"}:
            self._add((manifest["kind"], metadata["namespace"], metadata["name"], metadata["uid"]))
        if manifest["kind"] == "Pod":
            for owner in metadata.get("ownerReferences", ()):
                self._add((owner["kind"], metadata["namespace"], owner["name"], owner["uid"]))
        if manifest["kind"] == "Service":
            self._add(("Service", metadata["namespace"], metadata["name"], metadata["uid"]))

    async def run(self) -> None:
        """Reconcile queued objects until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._changed:
                key = next(iter(self._changed))
                del self._changed[key]
                await self._reconcile(key)

    def _add(self, key: Key) -> None:
        self._changed[key] = None
        self._wake.set()

    async def _reconcile(self, key: Key) -> None:
        kind, namespace, name, uid = key
        stored = self._cluster.peek(kind=kind, namespace=namespace, name=name)  # type: ignore[arg-type]
        there = stored if stored is not None and stored["metadata"]["uid"] == uid else None
        pods = [pod for pod in self._cluster.all("Pod", namespace=namespace) if uid in _owner_uids(pod)]
        if kind == "Job" and there is not None:
            await self._step_job(there, pods)
        elif kind == "Job":
            self._release(pods)
        elif kind == "Deployment" and there is not None:
            await self._step_deployment(there, pods)
        elif kind == "Service" and there is not None:
            await self._show_address(there)

    async def _step_job(self, job: Manifest, pods: list[Manifest]) -> None:
        step = job_step(job, pods, now=now(), suffix=_suffix)
        for pod in step.create:
            await self._cluster.create(pod)
        for pod in step.delete:
            await self._delete(pod)
        await self._cluster.patch_status(job, step.status)
        self._release(list(step.release))

    async def _step_deployment(self, deployment: Manifest, pods: list[Manifest]) -> None:
        step = deployment_step(deployment, pods, now=now(), suffix=_suffix)
        for pod in step.create:
            await self._cluster.create(pod)
        for pod in step.delete:
            await self._delete(pod)
        await self._cluster.patch_status(deployment, step.status)
        for service in self._cluster.all("Service", namespace=deployment["metadata"]["namespace"]):
            await self._show_address(service)

    async def _show_address(self, service: Manifest) -> None:
        """Write the address of a ready server of a Service into the Service's annotations. It stays for as long as that server is ready: who asks there counts on it."""
        known = service["metadata"].get("annotations", {})
        urls = self._addresses(service)
        url = known[LOCAL_URL] if known.get(LOCAL_URL) in urls else next(iter(urls), "")
        annotations = {name: value for name, value in known.items() if name != LOCAL_URL} | (
            {LOCAL_URL: url} if url else {}
        )
        if annotations != known:
            self._cluster.update(service | {"metadata": service["metadata"] | {"annotations": annotations}})

    def _addresses(self, service: Manifest) -> list[str]:
        """Return the addresses of the ready servers of a Service, the oldest first."""
        wanted = (service["spec"].get("selector") or {}).items()
        pods = sorted(self._cluster.all("Pod", namespace=service["metadata"]["namespace"]), key=seniority)
        return [
            pod["metadata"]["annotations"][LOCAL_URL]
            for pod in pods
            if wanted and wanted <= pod["metadata"]["labels"].items()
            if is_active(pod) and is_ready(pod) and LOCAL_URL in pod["metadata"]["annotations"]
        ]

    async def _delete(self, pod: Manifest) -> None:
        metadata = pod["metadata"]
        await self._cluster.delete(
            kind="Pod", namespace=metadata["namespace"], name=metadata["name"], uid=metadata["uid"]
        )

    def _release(self, pods: list[Manifest]) -> None:
        """Remove the finalizer of pods that are counted. A deleted pod without any other finalizer is removed then."""
        for counted in pods:
            metadata = counted["metadata"]
            pod = self._cluster.peek(kind="Pod", namespace=metadata["namespace"], name=metadata["name"])
            if pod is not None and pod["metadata"]["uid"] == metadata["uid"]:
                kept = [finalizer for finalizer in pod["metadata"].get("finalizers", ()) if finalizer != FINALIZER]
                self._cluster.update(pod | {"metadata": pod["metadata"] | {"finalizers": kept}})


def _owner_uids(manifest: Manifest) -> set[str]:
    return {owner["uid"] for owner in manifest["metadata"].get("ownerReferences", ())}


def _suffix() -> str:
    return "".join(secrets.choice(_SUFFIX_LETTERS) for _ in range(5))
