"""Where one proxy listens, and where its files are."""

from __future__ import annotations

from dataclasses import dataclass

from tuneloop_router.envoy_config.hosts import own_hosts


@dataclass(frozen=True)
class Places:
    """Ports and files of one proxy. They never come from a message."""

    folder: str
    """An own folder that survives a restart of the container."""
    host: str
    port: int
    """For the model's requests."""
    metrics_port: int
    """For GET /metrics and GET /readyz."""

    @property
    def hosts(self) -> tuple[str, ...]:
        """The values of Host that the port for requests answers to; empty: to all."""
        return own_hosts(self.host, self.port)

    @property
    def metrics_hosts(self) -> tuple[str, ...]:
        """The same of the port for metrics."""
        return own_hosts(self.host, self.metrics_port)

    @property
    def bootstrap(self) -> str:
        return f"{self.folder}/bootstrap.json"

    @property
    def clusters(self) -> str:
        return f"{self.folder}/clusters.json"

    @property
    def routes(self) -> str:
        return f"{self.folder}/routes.json"

    @property
    def api_keys(self) -> str:
        return f"{self.folder}/api-keys.json"

    @property
    def admin_socket(self) -> str:
        return f"{self.folder}/admin.sock"

    @property
    def state(self) -> str:
        """The split that was in force last."""
        return f"{self.folder}/state.json"
