"""The operator's view of an API server: a protocol, so that the same reconcile runs on a cluster and on a laptop.

Objects are plain JSON (`Manifest`). Who implements it translates every error to those of `tuneloop_operator.errors`.
This module imports nothing heavy, because local mode uses it, too; the client of a real API server is `cluster.api_server`.
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
    "Lease",
    "EndpointSlice",
]


class Cluster(Protocol):
    """What reconcile may ask of an API server. Every method may raise `ClusterUnavailable`."""

    async def get(self, *, kind: Kind, namespace: str, name: str) -> Manifest | None:
        """Return the object as it is now (a live read), or None."""

    async def list(self, *, kind: Kind, namespace: str, labels: Mapping[str, str]) -> list[Manifest]:
        """Return the objects that carry all these labels, read live."""

    async def create(self, manifest: Manifest) -> Manifest:
        """Create the object; return it as stored. Raises `AlreadyExists`, `Refused`."""

    async def apply(self, manifest: Manifest) -> Manifest:
        """Create the object or make its fields equal to these (server-side apply). Raises `Refused`."""

    async def delete(self, *, kind: Kind, namespace: str, name: str, uid: str) -> None:
        """Delete the object if it has this uid, its dependents in the background; an absent one is fine."""

    async def refusal(self, *, namespace: str, job_uid: str) -> str:
        """Return what the API server said last when a pod of this Job could not be created; empty if nothing is known."""

    async def patch_status(self, manifest: Manifest, status: dict[str, Any]) -> Manifest:
        """Replace the status of the object. Raises `Conflict` if its resourceVersion is no longer `manifest`'s."""
