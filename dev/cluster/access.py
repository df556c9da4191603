"""The administrator's access to a running cluster: `RunningCluster`. A control plane and a node cluster share it."""

from __future__ import annotations

import copy
import json
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from cluster.api_client import ApiClient, Reply
from cluster.errors import ClusterError

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass
class RunningCluster:
    """The cluster under one state folder. As a context manager (of a class with `up` and `down`) it starts the cluster, and stops it at the end."""

    state: Path
    _client: ApiClient | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self.state = self.state.resolve()

    def __enter__(self) -> Self:
        self.up()
        return self

    def __exit__(self, *_: object) -> None:
        self.down()

    def up(self) -> None:
        """Start everything and return when it is ready."""
        raise NotImplementedError

    def down(self) -> None:
        """End everything."""
        raise NotImplementedError

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig."""
        return self.state / "kubeconfig"

    @property
    def audit_log(self) -> Path:
        """The audit log that `audit` turns on: one JSON object a line."""
        return self.state / "logs" / "audit.log"

    @property
    def server_url(self) -> str:
        """The API server's address, `https://ADDRESS:PORT`."""
        return str(self._settings()["url"])

    @property
    def bin(self) -> Path:
        """The folder of the programs, kubectl among them."""
        return Path(str(self._settings()["bin"]))

    def client(self) -> ApiClient:
        """Return a new client with the administrator's certificate, for a thread of its own."""
        pki = self.state / "pki"
        return ApiClient(
            server_url=self.server_url, authority=pki / "ca.crt", certificate=pki / "admin.crt", key=pki / "admin.key"
        )

    def for_thread(self) -> Self:
        """Return the same running cluster with a connection of its own, for one thread."""
        own = copy.copy(self)
        own._client = None  # noqa: SLF001  (of the same class)
        return own

    def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        query: Mapping[str, str] | None = None,
        content_type: str = "application/json",
    ) -> Reply:
        """Send one request as the administrator over a kept connection; see `ApiClient.request`."""
        self._client = self._client or self.client()
        return self._client.request(method, path, body, query, content_type)

    def kubectl(self, *arguments: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        """Run kubectl as the administrator and return its exit status, stdout and stderr."""
        command = [str(self.bin / "kubectl"), "--kubeconfig", str(self.kubeconfig), *arguments]
        return subprocess.run(command, input=stdin, capture_output=True, text=True, check=False, timeout=60)

    def _hang_up(self) -> None:
        if self._client:
            self._client.close()
            self._client = None

    def _settings(self) -> dict[str, Any]:
        try:
            settings: dict[str, Any] = json.loads((self.state / "cluster.json").read_text())
        except FileNotFoundError:
            raise ClusterError(f"no cluster in {self.state}: start it first") from None
        return settings
