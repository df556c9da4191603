"""The shapes that all of Envoy's configuration is made of."""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]

TYPE = "type.googleapis.com/"
FILTERS = "envoy.extensions.filters.http."


def message(kind: str, /, **fields: Any) -> Json:
    """Return a message with its type."""
    return {"@type": TYPE + kind, **fields}


def typed(extension: str, kind: str, /, **fields: Any) -> Json:
    """Return an extension with its configuration, a message of this kind."""
    return {"name": extension, "typed_config": message(kind, **fields)}


def tcp_address(host: str, port: int) -> Json:
    """Return an address of the network."""
    return {"socket_address": {"address": host, "port_value": port}}


def endpoints(cluster: str, address: Json, *, hostname: str | None = None, **fields: Any) -> Json:
    """Return the load assignment of a cluster with one address. hostname: Host of requests that get a new one; `fields` stand beside the endpoint."""
    endpoint = {"address": address, **({"hostname": hostname} if hostname else {})}
    return {"cluster_name": cluster, "endpoints": [{"lb_endpoints": [{"endpoint": endpoint, **fields}]}]}


def always() -> Json:
    """Return the fraction that is always true."""
    return percent(100)


def percent(share: int) -> Json:
    """Return a fraction of requests."""
    return {"default_value": {"numerator": share, "denominator": "HUNDRED"}}
