"""The EndpointSlice of the progress Service: it points to the leading operator alone. The Service has no selector."""

from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING

from tuneloop_operator.names import MANAGED_BY, MANAGER

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tuneloop_operator.cluster import Manifest

_SERVICE_NAME = "kubernetes.io/service-name"
_SLICE_MANAGED_BY = "endpointslice.kubernetes.io/managed-by"
PROGRESS, ROUTERS = "https", "routers"
"""Names of the ports in the Service: a port of a slice belongs to the Service's port of the same name."""


def progress_endpoint_slice(
    *, namespace: str, service: str, pod: str, address: str, ports: Mapping[str, int]
) -> Manifest:
    """Return the slice of the progress Service that names one operator pod. address: its IPv4 or IPv6 address; ports: by name.

    Raises ValueError if `address` is no IP address.
    """
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": service,
            "namespace": namespace,
            "labels": {MANAGED_BY: MANAGER, _SERVICE_NAME: service, _SLICE_MANAGED_BY: f"{MANAGER}.dev"},
        },
        "addressType": f"IPv{ip_address(address).version}",
        "endpoints": [
            {
                "addresses": [address],
                "conditions": {"ready": True},
                "targetRef": {"kind": "Pod", "namespace": namespace, "name": pod},
            }
        ],
        "ports": [{"name": name, "port": port, "protocol": "TCP"} for name, port in ports.items()],
    }
