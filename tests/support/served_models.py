"""ModelDeployments on a `Bed`: made, looked at, taken down."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from waiting import until

if TYPE_CHECKING:
    from operator_bed import Bed

Manifest = dict[str, Any]


def deploy(bed: Bed, name: str, *, model: str = "pvc://models/artifact") -> None:
    """Create a ModelDeployment of an artifact."""
    metadata = {"name": name}
    body = {"apiVersion": "tuneloop.dev/v1alpha1", "kind": "ModelDeployment", "metadata": metadata}
    bed.create("ModelDeployment", body | {"spec": {"model": {"uri": model}}})


def deployment_status(bed: Bed, name: str) -> Manifest:
    """Return its status; empty if there is none."""
    return (bed.get("ModelDeployment", name) or {}).get("status", {})


def is_ready(bed: Bed, name: str) -> bool:
    """Whether it says that it is ready."""
    return deployment_status(bed, name).get("phase") == "Ready"


def take_down(bed: Bed) -> None:
    """Delete all of them and return once no server is left: in a namespace that goes, others would see new ones come up meanwhile."""
    for one in bed.all("ModelDeployment"):
        bed.delete("ModelDeployment", one["metadata"]["name"])
    kinds = ("Deployment", "ReplicaSet")
    until(lambda: not [one for kind in kinds for one in bed.all(kind)], seconds=60, what="no servers")
