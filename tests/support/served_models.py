"""Creates ModelDeployments on an operator under test, reads their status, deletes them."""

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
    """Return the status of a ModelDeployment; empty if there is none."""
    return (bed.get("ModelDeployment", name) or {}).get("status", {})


def is_ready(bed: Bed, name: str) -> bool:
    """Tell whether the ModelDeployment is in phase Ready."""
    return deployment_status(bed, name).get("phase") == "Ready"


def take_down(bed: Bed) -> None:
    """Delete all ModelDeployments and wait until no server is left. Else Deployments would still be created in a namespace that is being deleted."""
    for deployment in bed.all("ModelDeployment"):
        bed.delete("ModelDeployment", deployment["metadata"]["name"])
    kinds = ("Deployment", "ReplicaSet")
    until(lambda: not [child for kind in kinds for child in bed.all(kind)], seconds=60, what="no servers")
