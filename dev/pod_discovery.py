"""Prometheus' discovery of pods, in its place: Debian's program has none for Kubernetes. The targets and their labels are those of `role: pod`.

https://prometheus.io/docs/prometheus/latest/configuration/configuration/#pod
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from pathlib import Path

    from cluster.access import RunningCluster

Manifest = dict[str, Any]


class PodDiscovery:
    """Finds the pods of each scrape job of a configuration, and writes them into files that Prometheus reads."""

    def __init__(self, plane: RunningCluster, configuration: str, folder: Path) -> None:
        """`configuration`: with `kubernetes_sd_configs`; `folder`: for the files."""
        self._plane, self._folder = plane, folder
        self._configuration: Manifest = yaml.safe_load(configuration)
        self._namespaces: dict[Path, list[str]] = {}
        """Where pods are looked for, by the file of the job."""
        for number, job in enumerate(self._configuration["scrape_configs"]):
            found = job.pop("kubernetes_sd_configs")
            file = folder / f"targets-{number}.json"
            self._namespaces[file] = [name for sd in found if sd["role"] == "pod" for name in sd["namespaces"]["names"]]
            job["file_sd_configs"] = [{"files": [str(file)], "refresh_interval": "1s"}]

    def configuration(self) -> str:
        """Return the configuration, which reads the files instead."""
        return yaml.safe_dump(self._configuration, sort_keys=False)

    def look(self) -> None:
        """Write the files by what the API server says now."""
        for file, namespaces in self._namespaces.items():
            paths = [f"/api/v1/namespaces/{name}/pods" for name in namespaces]
            pods = [pod for path in paths for pod in self._plane.request("GET", path).body["items"]]
            new = file.with_suffix(".new")
            new.write_text(json.dumps([target for pod in pods for target in _targets(pod)]))
            new.replace(file)


def _targets(pod: Manifest) -> list[Manifest]:
    """Return a target for each port of each container, once the pod has an address."""
    address = pod["status"].get("podIP")
    if not address:
        return []
    return [
        {
            "targets": [f"{address}:{port['containerPort']}"],
            "labels": _labels(pod)
            | {
                "__meta_kubernetes_pod_container_name": container["name"],
                "__meta_kubernetes_pod_container_port_name": port.get("name", ""),
                "__meta_kubernetes_pod_container_port_number": str(port["containerPort"]),
            },
        }
        for container in pod["spec"]["containers"]
        for port in container.get("ports", ())
    ]


def _labels(pod: Manifest) -> dict[str, str]:
    metadata = pod["metadata"]
    labels = {
        "__meta_kubernetes_namespace": metadata["namespace"],
        "__meta_kubernetes_pod_name": metadata["name"],
        "__meta_kubernetes_pod_ip": pod["status"]["podIP"],
        "__meta_kubernetes_pod_phase": pod["status"]["phase"],
    }
    for name, value in metadata.get("labels", {}).items():
        sanitized = re.sub(r"[^a-zA-Z0-9_]", "_", name)
        labels[f"__meta_kubernetes_pod_label_{sanitized}"] = value
        labels[f"__meta_kubernetes_pod_labelpresent_{sanitized}"] = "true"
    return labels
