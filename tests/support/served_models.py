"""Creates ModelDeployments on an operator under test, reads their status, deletes them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from waiting import until

if TYPE_CHECKING:
    from namespace_client import NamespaceClient

Manifest = dict[str, Any]


def deploy(client: NamespaceClient, name: str, *, model: str = "pvc://models/artifact", **spec: Any) -> None:
    """Create a ModelDeployment of an artifact. spec: further fields."""
    metadata = {"name": name}
    body = {"apiVersion": "tuneloop.dev/v1alpha1", "kind": "ModelDeployment", "metadata": metadata}
    client.create("ModelDeployment", body | {"spec": {"model": {"uri": model}} | spec})


def deployment_status(client: NamespaceClient, name: str) -> Manifest:
    """Return the status of a ModelDeployment; empty if there is none."""
    return (client.get("ModelDeployment", name) or {}).get("status", {})


def is_ready(client: NamespaceClient, name: str) -> bool:
    """Tell whether the ModelDeployment is in phase Ready."""
    return deployment_status(client, name).get("phase") == "Ready"


def take_down(client: NamespaceClient) -> None:
    """Delete all ModelDeployments and wait until no server is left. Else Deployments would still be created in a namespace that is being deleted."""
    for deployment in client.all("ModelDeployment"):
        client.delete("ModelDeployment", deployment["metadata"]["name"])
    kinds = ("Deployment", "ReplicaSet")
    until(lambda: not [child for kind in kinds for child in client.all(kind)], seconds=60, what="no servers")
