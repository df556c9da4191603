"""The NetworkPolicy of model servers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tuneloop_operator.desired.common.metadata import deployment_labels, owned_metadata
from tuneloop_operator.desired.common.network_policy import network_policy
from tuneloop_operator.desired.model_deployment.endpoints import endpoints_of
from tuneloop_operator.names import REVISION_LABEL, comparator_labels, router_labels, servers_name

if TYPE_CHECKING:
    from tuneloop_api.v1alpha1 import ModelDeployment
    from tuneloop_operator.cluster import Manifest
    from tuneloop_operator.desired.model_deployment.endpoints import ServerEndpoints
    from tuneloop_operator.settings.operator import OperatorSettings


def server_policy(
    deployment: ModelDeployment,
    *,
    settings: OperatorSettings,
    other_endpoints: tuple[ServerEndpoints, ...] = (),
    is_behind_routers: bool = False,
) -> Manifest:
    """Return a policy by which everybody reaches the ports of the servers, and nobody another port. other_endpoints: of the other revisions.

    is_behind_routers: the ports for requests are for the routers and the comparator of this deployment alone. A kubelet reaches the pods of its node all
    the same. A port that some revision has for metrics alone stays open, unless another revision takes requests there.

    Everybody: gateways on the network of a node, the kubelet, and a Prometheus beside the cluster, have no labels by which a policy could
    select them. The policy is for all revisions, with one port or two each; pods of routers and of the comparator have policies of their own.
    """
    labels = deployment_labels(deployment)
    everywhere = (endpoints_of(deployment.spec), *other_endpoints)
    requests = frozenset(found.port for found in everywhere)
    others = frozenset().union(*(found.ports for found in everywhere)) - requests
    ingress = (
        [{"from": _in_front(deployment), "ports": _tcp(requests)}, *([{"ports": _tcp(others)}] if others else [])]
        if is_behind_routers
        else [{"ports": _tcp(requests | others)}]
    )
    return network_policy(
        owned_metadata(deployment, name=servers_name(deployment), labels=labels),
        pods=labels,
        having=REVISION_LABEL,
        ingress=ingress,
        egress=settings.egress,
    )


def _in_front(deployment: ModelDeployment) -> list[dict[str, Any]]:
    """Return the pods that ask servers: in the namespace of the deployment, since a peer without a namespaceSelector is."""
    return [{"podSelector": {"matchLabels": of(deployment)}} for of in (router_labels, comparator_labels)]


def _tcp(ports: frozenset[int]) -> list[dict[str, Any]]:
    return [{"port": port, "protocol": "TCP"} for port in sorted(ports)]
