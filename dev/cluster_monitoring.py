"""A Prometheus of the node's pod network that finds what the chart's monitors select: `monitoring`, `scraping_by_monitors`.

The Prometheus Operator writes its configuration. It runs as a process of this machine in the network of a pod, behind a Service: who asks it and whom it asks
passes the network that pods have, with their policies.
"""

from __future__ import annotations

import threading
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import cluster_prometheus
import scrapers
from cluster.images import PAUSE
from pod_discovery import PodDiscovery
from pod_networks import inside_network, network_of
from waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from cluster.node import NodeCluster
    from cluster_prometheus import Prometheus

Object = dict[str, Any]
NAMESPACE = "monitoring"
URL = f"http://prometheus.{NAMESPACE}.svc:9090"
SELECTOR = {"release": "kube-prometheus-stack"}
"""By which this Prometheus selects monitors."""
MONITOR = {"kind": "PodMonitor", "interval": "1s", "labels": SELECTOR}
"""The value `monitor` of the chart. The operator is found by its pods: what discovers in the place of Prometheus knows pods alone."""
_PORT = 9090
_SECONDS = 60
_JOBS = 2
"""Of the operator and of the models."""


@dataclass(frozen=True, kw_only=True)
class Monitoring:
    """Where Prometheus will run, and who configures it."""

    cluster: NodeCluster
    pod: Object
    home: str
    """Namespace of the release."""


def monitoring(cluster: NodeCluster, *, home: str) -> Monitoring:
    """Make the pod and the Service of Prometheus, and start the Prometheus Operator for the namespace of the release: before the chart, which asks for the operator's kinds."""
    scrapers.start_operator(cluster.plane, home=home)
    _create(cluster, "namespaces", {"kind": "Namespace", "metadata": {"name": NAMESPACE}}, namespace="")
    _create(cluster, "pods", _pod(), namespace=NAMESPACE)
    _create(cluster, "services", _service(), namespace=NAMESPACE)
    path = f"/api/v1/namespaces/{NAMESPACE}/pods/prometheus"
    until(lambda: cluster.request("GET", path).body["status"]["phase"] == "Running", seconds=_SECONDS, what="the pod")
    return Monitoring(cluster=cluster, pod=cluster.request("GET", path).body, home=home)


@contextmanager
def scraping_by_monitors(found: Monitoring, folder: Path) -> Iterator[Prometheus]:
    """Run Prometheus in its pod's network, with what the chart's monitors of the release say."""
    plane, ended = found.cluster.plane, threading.Event()
    scrapers.make_prometheus(plane, home=found.home, selector=SELECTOR)
    text = scrapers.written_configuration(plane, home=found.home, jobs=_JOBS)
    discovery = PodDiscovery(found.cluster.for_thread(), text.replace("$(SHARD)", "0"), folder)

    def discover() -> None:
        while not ended.wait(1):
            discovery.look()

    discovery.look()
    configuration = folder / "prometheus.yaml"
    configuration.write_text(discovery.configuration())
    looking = threading.Thread(target=discover, daemon=True)
    looking.start()
    try:
        with ExitStack() as stack:
            with inside_network(network_of(found.pod)):
                address = f"{found.pod['status']['podIP']}:{_PORT}"
                prometheus = stack.enter_context(cluster_prometheus.running(configuration, folder, address=address))
            yield prometheus
    finally:
        ended.set()
        looking.join(timeout=_SECONDS)


def _pod() -> Object:
    container = {"name": "network", "image": PAUSE, "imagePullPolicy": "Never"}
    metadata = {"name": "prometheus", "labels": {"app": "prometheus"}}
    return {"kind": "Pod", "metadata": metadata, "spec": {"containers": [container]}}


def _service() -> Object:
    ports = [{"port": _PORT, "targetPort": _PORT}]
    spec = {"selector": {"app": "prometheus"}, "ports": ports}
    return {"kind": "Service", "metadata": {"name": "prometheus"}, "spec": spec}


def _create(cluster: NodeCluster, plural: str, body: Object, *, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/{plural}" if namespace else f"/api/v1/{plural}"

    def is_made() -> bool:  # a namespace is without its service account for a moment
        reply = cluster.request("POST", path, {"apiVersion": "v1"} | body)
        return reply.status == 201

    until(is_made, seconds=_SECONDS, what=f"{plural} of {namespace or 'the cluster'}")
