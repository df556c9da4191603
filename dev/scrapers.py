"""The Prometheus Operator as a program beside a control plane: it reads the monitors and rules of the chart, and writes what a Prometheus is to do.

No pod runs. An exporter that listens at the address of a pod, which is one of this machine (`loopback_address`), is scraped as in a cluster.
"""

from __future__ import annotations

import base64
import gzip
from typing import TYPE_CHECKING, Any

import cluster_prometheus
from cluster import binaries
from free_ports import free_port
from waiting import until

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from cluster.control_plane import ControlPlane

Manifest = dict[str, Any]
_GROUP = "monitoring.coreos.com/v1"
KINDS = ("ServiceMonitor", "PodMonitor", "PrometheusRule")
"""Those that the chart makes."""
_KINDS = ("podmonitors", "probes", "prometheuses", "prometheusrules", "servicemonitors")
"""Those without which the operator's controller of Prometheus does not start."""
_OPERATOR = "prometheus-operator"
_NAME = "main"
"""Of the object `Prometheus`."""
RULES_FOLDER = f"/etc/prometheus/rules/prometheus-{_NAME}-rulefiles-0"
"""Where the configuration looks for rules."""
_SECONDS = 60


def loopback_address(pod: Manifest) -> str:
    """Return an address of this machine that the same pod always has, and hardly another one."""
    number = int(pod["metadata"]["uid"][:6], 16)
    return f"127.{64 + (number >> 16) % 128}.{number >> 8 & 255}.{1 + number % 254}"


def start_operator(plane: ControlPlane, *, home: str) -> None:
    """Install the operator's kinds, and start it for the objects of one namespace."""
    sources = binaries.source_folder(_OPERATOR, binaries.PROMETHEUS_OPERATOR) / "example" / "prometheus-operator-crd"
    crds = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    for kind in _KINDS:
        text = (sources / f"monitoring.coreos.com_{kind}.yaml").read_text(encoding="utf-8")
        reply = plane.request("POST", crds, text, content_type="application/yaml")
        assert reply.status == 201, reply.body
    # the operator looks once, and ends if it does not find them
    until(lambda: _served(plane).issuperset(_KINDS), seconds=_SECONDS, what="the operator's kinds")
    program = binaries.ensure(_OPERATOR) / _OPERATOR
    command = [str(program), f"--namespaces={home}", f"--web.listen-address=127.0.0.1:{free_port()}"]
    plane.programs.start(_OPERATOR, command, environment={"KUBECONFIG": str(plane.kubeconfig)})


def _served(plane: ControlPlane) -> set[str]:
    """Return the kinds that the API server names."""
    reply = plane.request("GET", f"/apis/{_GROUP}")
    return {found["name"] for found in reply.body["resources"]} if reply.status == 200 else set()


def make_prometheus(plane: ControlPlane, *, home: str, selector: Mapping[str, str]) -> None:
    """Make a `Prometheus` of this machine's version, which selects monitors and rules by their labels."""
    selectors = {f"{kind}Selector": {"matchLabels": selector} for kind in ("podMonitor", "serviceMonitor", "rule")}
    spec = {
        "version": f"v{cluster_prometheus.version()}",
        "replicas": 0,
        "scrapeInterval": "1s",
        "evaluationInterval": "1s",
    }
    body = {"apiVersion": _GROUP, "kind": "Prometheus", "metadata": {"name": _NAME}}
    path = f"/apis/{_GROUP}/namespaces/{home}/prometheuses"
    reply = plane.request("POST", path, body | {"spec": spec | selectors}, query={"fieldValidation": "Strict"})
    assert reply.status == 201, reply.body


def written_configuration(plane: ControlPlane, *, home: str, jobs: int) -> str:
    """Return the configuration that the operator writes for the `Prometheus`, once it has so many scrape jobs."""

    def text() -> str:
        reply = plane.request("GET", f"/api/v1/namespaces/{home}/secrets/prometheus-{_NAME}")
        if reply.status != 200 or "prometheus.yaml.gz" not in (reply.body.get("data") or {}):
            return ""
        found = gzip.decompress(base64.b64decode(reply.body["data"]["prometheus.yaml.gz"])).decode()
        return found if found.count("job_name:") == jobs else ""

    return until(text, seconds=_SECONDS, what=f"a configuration of {jobs} jobs, by {plane.programs.log(_OPERATOR)}")


def write_rules(plane: ControlPlane, folder: Path, *, home: str) -> list[Path]:
    """Write the rule files of the operator into a new folder, as a volume would; return them."""
    path = f"/api/v1/namespaces/{home}/configmaps/prometheus-{_NAME}-rulefiles-0"
    until(lambda: plane.request("GET", path).status == 200, seconds=_SECONDS, what="rule files")
    folder.mkdir()
    files: dict[str, str] = plane.request("GET", path).body["data"]
    for name, content in files.items():
        (folder / name).write_text(content)
    return [folder / name for name in files]


def create(plane: ControlPlane, monitor: Manifest, *, dry_run: bool = False) -> None:
    """Create a monitor or rules in their namespace. The API server must know every field."""
    path = f"/apis/{_GROUP}/namespaces/{monitor['metadata']['namespace']}/{monitor['kind'].lower()}s"
    query = {"fieldValidation": "Strict"} | ({"dryRun": "All"} if dry_run else {})
    reply = plane.request("POST", path, monitor, query=query)
    assert reply.status == 201, reply.body
