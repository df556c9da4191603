"""prometheus-adapter as a program beside a control plane: it answers `custom.metrics.k8s.io` by the rules that we give to users.

It acts as the service account of its own manifests, with their rights. The API server finds it by a Service, as in a cluster.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cluster_tier
import yaml
from cluster import binaries
from free_ports import free_port
from kubeconfigs import account_kubeconfig
from waiting import until

if TYPE_CHECKING:
    from cluster.control_plane import ControlPlane

VALUES = Path(__file__).parents[2] / "examples/autoscaling/prometheus-adapter.yaml"
"""For the chart of prometheus-adapter."""
_ADAPTER = "prometheus-adapter"
_HOME = "monitoring"
"""The namespace in its manifests."""
_RIGHTS = (
    "service-account",
    "cluster-role",
    "cluster-role-binding",
    "cluster-role-binding-delegator",
    "role-binding-auth-reader",
)
_GROUP = "custom.metrics.k8s.io"
_SERVICES = "/apis/apiregistration.k8s.io/v1/apiservices"
_API_SERVICE = f"v1beta1.{_GROUP}"
_SECONDS = 60


@dataclass(frozen=True)
class MetricsAdapter:
    """Where it listens, and what it is started with. `install` comes first."""

    plane: ControlPlane
    prometheus_url: str
    folder: Path
    """For its configuration, kubeconfig and certificate."""
    port: int

    @classmethod
    def on(cls, plane: ControlPlane, prometheus_url: str, folder: Path) -> MetricsAdapter:
        return cls(plane, prometheus_url, folder, port=free_port())

    def install(self) -> None:
        """Make what its chart makes: account and rights, configuration, Service and APIService."""
        cluster_tier.make_namespace(self.plane, _HOME)
        manifests = binaries.source_folder(_ADAPTER, binaries.PROMETHEUS_ADAPTER) / "deploy" / "manifests"
        for name in _RIGHTS:
            done = self.plane.kubectl("apply", "-f", str(manifests / f"{name}.yaml"))
            assert done.returncode == 0, done.stderr
        account_kubeconfig(self.plane, self.folder / "kubeconfig", namespace=_HOME, account=_ADAPTER)
        rules = yaml.safe_load(VALUES.read_text(encoding="utf-8"))["rules"]["custom"]
        (self.folder / "config.yaml").write_text(yaml.safe_dump({"rules": rules}))
        # no pod runs: a name of this machine stands for the Service's address
        service = {"type": "ExternalName", "externalName": "localhost"}
        self._create(f"/api/v1/namespaces/{_HOME}/services", {"metadata": {"name": _ADAPTER}, "spec": service})
        aim = {"namespace": _HOME, "name": _ADAPTER, "port": self.port}
        spec = {"group": _GROUP, "version": "v1beta1", "groupPriorityMinimum": 100, "versionPriority": 100}
        spec |= {"service": aim, "insecureSkipTLSVerify": True}
        self._create(_SERVICES, {"metadata": {"name": _API_SERVICE}, "spec": spec})

    def start(self) -> None:
        """Start it, and return once the API server passes requests on to it."""
        kubeconfig = self.folder / "kubeconfig"
        known = [f"--{what}-kubeconfig={kubeconfig}" for what in ("lister", "authentication", "authorization")]
        listening = ["--bind-address=127.0.0.1", f"--secure-port={self.port}", f"--cert-dir={self.folder}"]
        metrics = [f"--config={self.folder / 'config.yaml'}", f"--prometheus-url={self.prometheus_url}"]
        metrics += ["--metrics-relist-interval=1s", "--metrics-max-age=1m"]
        program = str(binaries.ensure(_ADAPTER) / _ADAPTER)
        self.plane.programs.start(_ADAPTER, [program, *known, *listening, *metrics])
        until(self._is_available, seconds=_SECONDS, what=f"{_API_SERVICE}, by {self.plane.programs.log(_ADAPTER)}")

    def stop(self) -> None:
        """End it. The API server still names it."""
        self.plane.programs.stop(_ADAPTER)

    def remove(self) -> None:
        """End it, and take its APIService away: the namespaces of a control plane are not deleted where one does not answer."""
        self.stop()
        self.plane.request("DELETE", f"{_SERVICES}/{_API_SERVICE}")

    def of_pods(self, metric: str, *, namespace: str) -> list[str]:
        """Return the metric of each pod of a namespace, as the API server shows it; nothing without one."""
        path = f"/apis/{_GROUP}/v1beta1/namespaces/{namespace}/pods/*/{metric}"
        reply = self.plane.request("GET", path)
        return sorted(found["value"] for found in reply.body["items"]) if reply.status == 200 else []

    def _is_available(self) -> bool:
        status = self.plane.request("GET", f"{_SERVICES}/{_API_SERVICE}").body.get("status", {})
        return any(found["type"] == "Available" and found["status"] == "True" for found in status.get("conditions", ()))

    def _create(self, path: str, body: dict[str, Any]) -> None:
        reply = self.plane.request("POST", path, body)
        assert reply.status == 201, reply.body
