"""The operator's view of an API server: a protocol, so that the same reconciler runs on a cluster and on a laptop.

Objects are plain JSON (`Manifest`). An implementation raises the errors of `tuneloop_operator.errors` only.
This module imports nothing heavy, because local mode uses it too. The client of a real API server is `cluster.api_server`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

Manifest = dict[str, Any]
Kind = Literal[
    "FineTuneJob",
    "ModelDeployment",
    "Job",
    "Pod",
    "Service",
    "ConfigMap",
    "Deployment",
    "NetworkPolicy",
    "PodDisruptionBudget",
    "HorizontalPodAutoscaler",
    "Lease",
    "EndpointSlice",
]


class Cluster(Protocol):
    """The requests of the reconciler. Every method may raise `ClusterUnavailable`."""

    async def get(self, *, kind: Kind, namespace: str, name: str) -> Manifest | None:
        """Return the object as it is now (a live read), or None."""

    async def list(self, *, kind: Kind, namespace: str, labels: Mapping[str, str]) -> list[Manifest]:
        """Return the objects that carry all these labels, read live."""

    async def create(self, manifest: Manifest) -> Manifest:
        """Create the object; return it as stored. Raises `AlreadyExists`, `Refused`."""

    async def apply(self, manifest: Manifest) -> Manifest:
        """Create the object or set these fields in it (server-side apply). Raises `Refused`."""

    async def scale(self, *, namespace: str, name: str, uid: str, replicas: int) -> Manifest | None:
        """Set the number of pods of a Deployment and nothing else; None if there is none with this uid. Raises `Refused`."""

    async def keep_replicas(self, deployment: Manifest) -> None:
        """Let a Deployment keep its number of pods once an apply of ours names none. Raises `Conflict` if the number has changed, and `Refused`."""

    async def delete(self, *, kind: Kind, namespace: str, name: str, uid: str) -> None:
        """Delete the object if it has this uid, its dependents in the background. An absent object is no error."""

    async def refusal(self, *, namespace: str, job_uid: str) -> str:
        """Return the newest message of the API server about a pod of this Job that it refused to create; empty if there is none."""

    async def mount_failure(self, *, namespace: str, pod_uid: str) -> str:
        """Return the newest message of the kubelet about a volume of this pod that it cannot mount; empty if there is none."""

    async def patch_status(self, manifest: Manifest, status: dict[str, Any]) -> Manifest:
        """Replace the status of the object. Raises `Conflict` if the object is newer than `manifest`."""
