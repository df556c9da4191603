"""Where the Services of a session lead to: there is no DNS and no proxy here, so who connects to a Service is told the port of a ready pod."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from tuneloop_operator.status.model_deployment.deployment import LOCAL_URL

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tuneloop_cli.local.cluster.cluster import LocalCluster

_LOOK_SECONDS = 0.5


def service_ports(cluster: LocalCluster, hosts: Iterable[str]) -> dict[str, int]:
    """Return the port of this machine for each host `NAME.NAMESPACE.svc` whose Service has a ready pod."""
    found = {host: _port(cluster, host) for host in hosts}
    return {host: port for host, port in found.items() if port is not None}


async def has_moved(cluster: LocalCluster, known: Mapping[str, int]) -> None:
    """Return once one of these Services leads to another port. One without a ready pod has not moved: the pod may come back."""
    while all(known[host] == port for host, port in service_ports(cluster, known).items()):  # noqa: ASYNC110  (Services send no event here)
        await asyncio.sleep(_LOOK_SECONDS)


def _port(cluster: LocalCluster, host: str) -> int | None:
    name, namespace, *_ = host.split(".")
    service = cluster.peek(kind="Service", namespace=namespace, name=name)
    url = (service["metadata"].get("annotations") or {}).get(LOCAL_URL, "") if service else ""
    return urlsplit(url).port
