"""The NetworkPolicy of model servers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneloop_operator.desired.common.metadata import deployment_labels, owned_metadata
from tuneloop_operator.desired.common.network_policy import network_policy
from tuneloop_operator.desired.model_deployment.endpoints import endpoints_of
from tuneloop_operator.names import REVISION_LABEL, servers_name

if TYPE_CHECKING:
    from tuneloop_api.v1alpha1 import ModelDeployment
    from tuneloop_operator.cluster import Manifest
    from tuneloop_operator.settings.operator import OperatorSettings


def server_policy(
    deployment: ModelDeployment, *, settings: OperatorSettings, other_ports: frozenset[int] = frozenset()
) -> Manifest:
    """Return a policy by which everybody reaches the ports of the servers, and nobody another port. other_ports: those of the other revisions.

    Everybody: gateways on the network of a node, the kubelet, and a Prometheus beside the cluster, have no labels by which a policy could
    select them. The policy is for all revisions, with one port or two each; pods of routers and of the comparator have policies of their own.
    """
    labels = deployment_labels(deployment)
    ports = sorted(endpoints_of(deployment.spec).ports | other_ports)
    return network_policy(
        owned_metadata(deployment, name=servers_name(deployment), labels=labels),
        pods=labels,
        having=REVISION_LABEL,
        ingress=[{"ports": [{"port": port, "protocol": "TCP"} for port in ports]}],
        egress=settings.egress,
    )
