"""The Services of model servers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneloop_api.contract.server_config import SERVER_PORT
from tuneloop_operator.desired.common.metadata import deployment_labels, owned_metadata
from tuneloop_operator.names import STABLE_REVISION, revision_name, router_labels

if TYPE_CHECKING:
    from tuneloop_api.v1alpha1 import ModelDeployment
    from tuneloop_operator.cluster import Manifest


def revision_service(deployment: ModelDeployment, *, revision: str) -> Manifest:
    """Return the Service of one revision."""
    labels = deployment_labels(deployment, revision)
    return _serving(deployment, name=revision_name(deployment, revision), labels=labels, revision=revision)


def stable_service(deployment: ModelDeployment, *, revision: str) -> Manifest:
    """Return the Service that users call. It points to the stable revision."""
    labels = deployment_labels(deployment)
    return _serving(deployment, name=deployment.metadata["name"], labels=labels, revision=revision)


def routed_service(deployment: ModelDeployment, *, stable: str) -> Manifest:
    """Return the Service that users call where routers divide the requests. It says which revision is stable behind them."""
    labels = deployment_labels(deployment)
    front = _serving(deployment, name=deployment.metadata["name"], labels=labels, revision="")
    metadata = front["metadata"] | {"annotations": {STABLE_REVISION: stable}}
    return front | {"metadata": metadata, "spec": front["spec"] | {"selector": router_labels(deployment)}}


def endpoints_name(deployment: ModelDeployment, revision: str) -> str:
    """Return the name of the Service by which routers find each server of a revision."""
    return f"{revision_name(deployment, revision)}-pods"


def endpoints_service(deployment: ModelDeployment, *, revision: str, port: int = SERVER_PORT) -> Manifest:
    """Return the headless Service of a revision: one address for each server, so that routers see each of them live and die.

    Servers that load are among them: routers ask each server whether it is ready. The DNS of a cluster may tell of a server half a minute late; by
    then the drain of a node may have taken the one that it follows.
    """
    labels = deployment_labels(deployment, revision)
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": owned_metadata(deployment, name=endpoints_name(deployment, revision), labels=labels),
        "spec": {
            "type": "ClusterIP",
            "clusterIP": "None",
            "publishNotReadyAddresses": True,
            "selector": labels,
            "ports": [{"name": "http", "port": port, "targetPort": "http", "protocol": "TCP"}],
        },
    }


def _serving(deployment: ModelDeployment, *, name: str, labels: dict[str, str], revision: str) -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": owned_metadata(deployment, name=name, labels=labels),
        "spec": {
            "type": "ClusterIP",
            "selector": deployment_labels(deployment, revision),
            "ports": [{"name": "http", "port": 80, "targetPort": "http", "protocol": "TCP"}],
        },
    }
