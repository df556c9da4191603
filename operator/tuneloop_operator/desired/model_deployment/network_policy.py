"""The NetworkPolicy of model servers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneloop_api.contract.server_config import SERVER_PORT
from tuneloop_operator.desired.common.metadata import deployment_labels, owned_metadata
from tuneloop_operator.desired.common.network_policy import network_policy
from tuneloop_operator.names import servers_name

if TYPE_CHECKING:
    from tuneloop_api.v1alpha1 import ModelDeployment
    from tuneloop_operator.cluster import Manifest
    from tuneloop_operator.settings.operator import OperatorSettings


def server_policy(deployment: ModelDeployment, *, settings: OperatorSettings) -> Manifest:
    """Return a policy by which everybody reaches the serving port of the servers, and nobody another port.

    Everybody: gateways on the network of a node, and the kubelet, have no labels by which a policy could select them.
    """
    labels = deployment_labels(deployment)
    return network_policy(
        owned_metadata(deployment, name=servers_name(deployment), labels=labels),
        pods=labels,
        ingress=[{"ports": [{"port": SERVER_PORT, "protocol": "TCP"}]}],
        egress=settings.egress,
    )
