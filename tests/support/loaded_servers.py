"""Model servers under a load, without models: at the address of each pod that is ready, the metrics of a server with its share of the requests."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from artifact import manifest_of
from prometheus_client import start_http_server
from server_process import configuration

from tuneloop_server.monitoring import Monitoring

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from namespace_client import NamespaceClient
    from pod_discovery import PodDiscovery

_METRICS_PORT = 8081
Pod = dict[str, Any]


@dataclass
class LoadedServers:
    """All server pods of a namespace. They must have addresses of this machine (`scrapers.loopback_address`)."""

    client: NamespaceClient
    discovery: PodDiscovery
    folder: Path
    requests: int = 0
    """In flight, over all servers."""
    _shown: dict[str, tuple[Monitoring, Callable[[], None]]] = field(default_factory=dict)
    """By the address of a pod: its metrics, and what ends them."""

    def spread(self) -> None:
        """Share the requests out among the pods that are ready now, and let Prometheus know them."""
        addresses = sorted(pod["status"]["podIP"] for pod in self.client.all("Pod") if _is_ready(pod))
        for address in self._shown.keys() - set(addresses):
            self._shown.pop(address)[1]()
        for number, address in enumerate(addresses):
            if address not in self._shown:
                self._shown[address] = self._show(address)
            share, rest = divmod(self.requests, len(addresses))
            self._shown[address][0].inflight.set(share + (number < rest))
        self.discovery.look()

    def _show(self, address: str) -> tuple[Monitoring, Callable[[], None]]:
        monitoring = Monitoring(configuration(self.folder), manifest_of(["no", "yes"]), label_names=["no", "yes"])
        server, thread = start_http_server(_METRICS_PORT, address, registry=monitoring.registry)

        def end() -> None:
            server.shutdown()
            server.server_close()
            thread.join()

        return monitoring, end


def _is_ready(pod: Pod) -> bool:
    conditions = pod["status"].get("conditions", ())
    stays = "deletionTimestamp" not in pod["metadata"]
    return stays and any(found["type"] == "Ready" and found["status"] == "True" for found in conditions)
