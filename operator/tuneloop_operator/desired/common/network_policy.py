"""NetworkPolicies of our pods: who reaches them, and what they may connect to where the administrator limits that."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tuneloop_operator.cluster import Manifest
    from tuneloop_operator.settings.egress import Destination

_NAMESPACE_NAME = "kubernetes.io/metadata.name"
"""Label with its name that each namespace has."""
_DNS = [{"port": port, "protocol": protocol} for port in (53, 5353) for protocol in ("UDP", "TCP")]
"""5353 is where the servers of some platforms listen behind their Service."""


def network_policy(
    metadata: dict[str, Any],
    *,
    pods: dict[str, str],
    having: str = "",
    ingress: list[dict[str, Any]],
    egress: tuple[Destination, ...] | None = None,
    peers: dict[str, str] | None = None,
) -> Manifest:
    """Return a policy for the pods with these labels; having: and with some value of this one.

    ingress: the rules by which connections are let in. egress: where the pods may connect to, beside DNS and the pods with the labels `peers`;
    None: everywhere. Policies add up: whoever needs more makes another policy for the same pods.
    """
    selector: dict[str, Any] = {"matchLabels": pods}
    if having:
        selector["matchExpressions"] = [{"key": having, "operator": "Exists"}]
    spec: dict[str, Any] = {"podSelector": selector, "policyTypes": ["Ingress"], "ingress": ingress}
    if egress is not None:
        own = [{"to": [{"podSelector": {"matchLabels": peers}}]}] if peers else []
        spec["policyTypes"] = ["Ingress", "Egress"]
        spec["egress"] = [{"ports": _DNS}, *own, *map(_rule, egress)]
    return {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": metadata, "spec": spec}


def _rule(destination: Destination) -> dict[str, Any]:
    rule: dict[str, Any] = {}
    if destination.ports:
        rule["ports"] = [{"port": port, "protocol": "TCP"} for port in destination.ports]
    if destination.cidr:
        block = {"cidr": destination.cidr} | ({"except": destination.except_} if destination.except_ else {})
        rule["to"] = [{"ipBlock": block}]
    if destination.namespace:
        rule["to"] = [{"namespaceSelector": {"matchLabels": {_NAMESPACE_NAME: destination.namespace}}}]
    return rule
