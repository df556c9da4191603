"""Where the servers of a revision answer. Of our own server it is a constant; of another image the spec says it, and later the Deployment that was made of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tuneloop_api.contract.server_config import METRICS_PORT, SERVER_PORT
from tuneloop_api.v1alpha1.model_deployment.runtime import RuntimeEndpoints
from tuneloop_operator.names import CHECK_CONTAINER, SERVER_CONTAINER

if TYPE_CHECKING:
    from tuneloop_api.v1alpha1 import ModelDeploymentSpec
    from tuneloop_operator.cluster import Manifest

HTTP, METRICS = "http", "metrics"
"""Names of the container's ports: Services lead to `http`, whatever release made the pod."""
READYZ, HEALTHZ = "/readyz", "/healthz"
_HEALTH, _METRICS_PAGE = "/health", "/metrics"
"""Where most servers of others answer, vLLM among them."""


@dataclass(frozen=True, kw_only=True)
class ServerEndpoints:
    """Ports and paths of a server."""

    port: int = SERVER_PORT
    """Of the requests of clients."""
    metrics_port: int | None = None
    """Of metrics, and with our own server of probes; None: that of the requests."""
    readiness_path: str = READYZ
    liveness_path: str = HEALTHZ
    metrics_path: str = _METRICS_PAGE
    is_ours: bool = True
    """Whether it is our own server, whatever the image's name."""

    @property
    def ports(self) -> frozenset[int]:
        """All ports that others may connect to."""
        return frozenset({self.port, self.metrics_port or self.port})


def endpoints_of(spec: ModelDeploymentSpec) -> ServerEndpoints:
    """Return where the servers of a spec answer. Our own server may have a port less: its configuration says so."""
    runtime = spec.runtime
    if runtime is None or not runtime.is_external:
        return ServerEndpoints(metrics_port=METRICS_PORT)
    given = runtime.endpoints or RuntimeEndpoints()
    readiness = given.readiness_path or _HEALTH
    return ServerEndpoints(
        port=given.port or SERVER_PORT,
        metrics_port=given.metrics_port,
        readiness_path=readiness,
        liveness_path=given.liveness_path or readiness,
        metrics_path=given.metrics_path or _METRICS_PAGE,
        is_ours=False,
    )


def endpoints_in(deployment: Manifest) -> ServerEndpoints:
    """Return where the servers of a stored Deployment answer: the spec may have changed since. Only what others have to know of it is read."""
    pod = deployment["spec"].get("template", {}).get("spec", {})
    containers = pod.get("containers") or ()
    server: dict[str, Any] = next((found for found in containers if found["name"] == SERVER_CONTAINER), {})
    ports = {found.get("name"): found["containerPort"] for found in server.get("ports") or ()}
    probed = (server.get("readinessProbe") or {}).get("httpGet") or {}
    return ServerEndpoints(
        port=ports.get(HTTP, SERVER_PORT),
        metrics_port=ports.get(METRICS),
        readiness_path=probed.get("path", READYZ),
        # another image stands behind a check of the artifact, and ours checks it itself
        is_ours=CHECK_CONTAINER not in {found["name"] for found in pod.get("initContainers") or ()},
    )
