"""`signal: Concurrency` the whole way: servers, the chart's PodMonitor, Prometheus, prometheus-adapter, the autoscaler of Kubernetes, our operator."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import cluster_tier
import pytest
from loaded_servers import LoadedServers
from metrics_adapter import MetricsAdapter
from namespace_client import NamespaceClient
from operator_process import RunningOperator
from pod_scripts import PodLifecycle, Run
from pod_status_patcher import PodStatusPatcher
from scrapers import loopback_address
from served_models import deploy, deployment_status, take_down
from waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cluster_prometheus import Prometheus

pytestmark = pytest.mark.full
NAME, TEAM = "reviews", "team-b"
SECONDS = 120
METRIC = "tuneloop_inflight_requests"
NEEDED = (
    f"signal Concurrency needs an adapter in the cluster that offers the pods' metric {METRIC} (custom.metrics.k8s.io)"
)
NO_ADAPTER = "no custom metrics API (custom.metrics.k8s.io) registered"
NO_SERIES = f"the server could not find the metric {METRIC} for pods"
NO_ANSWER = "the server is currently unable to handle the request"
"""What the autoscaler says; docs/scaling.md explains these words."""


class Place:
    """The ModelDeployment `reviews`, its servers, and the adapter."""

    def __init__(self, prometheus: Prometheus, adapter: MetricsAdapter, servers: LoadedServers) -> None:
        self.prometheus, self.adapter, self.servers = prometheus, adapter, servers
        self.client = servers.client

    def measured(self) -> tuple[int | None, int | None, str | None]:
        """Return what the autoscaler says of its last look: servers, servers that it wants, and requests of a server on average."""
        self.servers.spread()
        status = self.client.stored("HorizontalPodAutoscaler", NAME).get("status", {})
        (metric,) = status.get("currentMetrics") or [{}]
        average = metric.get("pods", {}).get("current", {}).get("averageValue")
        return status.get("currentReplicas"), status.get("desiredReplicas"), average

    def until_measured(self, servers: int, average: str) -> None:
        """Wait for an autoscaler that finds so many servers with so many requests each, and wants no other number."""
        what = f"{servers} servers with {average} requests each"
        until(lambda: self.measured() == (servers, servers, average), seconds=SECONDS, what=what)

    def until_scaling(self, status: str, words: str) -> str:
        """Wait for the condition ScalingActive of the deployment; return its message."""

        def message() -> str:
            found = [entry for entry in self.status.get("conditions", ()) if entry["type"] == "ScalingActive"]
            matching = [entry["message"] for entry in found if entry["status"] == status and words in entry["message"]]
            return matching[0] if matching else ""

        return until(message, seconds=SECONDS, what=f"ScalingActive={status}: {words}")

    def load(self, requests: int) -> None:
        """Let so many requests be in flight, and Prometheus know it."""
        self.servers.requests = requests
        self.servers.spread()

        def scraped() -> float:
            return sum(sample["value"] for sample in self.prometheus.query(METRIC))

        until(lambda: scraped() == requests, seconds=SECONDS, what=f"{requests} requests in Prometheus")

    @property
    def status(self) -> dict[str, Any]:
        return deployment_status(self.client, NAME)

    def sizes(self) -> list[str]:
        """Return what the autoscaler says of each change of the number, the first one first."""
        events = self.client.request("GET", f"/api/v1/namespaces/{TEAM}/events").body["items"]
        found = [event for event in events if event["reason"] == "SuccessfulRescale"]
        return [event["message"] for event in sorted(found, key=lambda event: event["firstTimestamp"])]


@pytest.fixture
def place(plane, monitored, prometheus, adapter_is_built, tmp_path) -> Iterator[Place]:
    """The operator acts; servers are ready as soon as they are made. The adapter is not installed yet."""
    cluster_tier.install_crds(plane)
    adapter = MetricsAdapter.on(plane, prometheus.url, tmp_path)
    servers = LoadedServers(NamespaceClient(plane, TEAM), monitored.discovery, tmp_path)
    scripts = {"serve": lambda pod, *_: PodLifecycle((Run(address=loopback_address(pod)),))}
    settings = {"pod_namespace": TEAM, "namespaces": TEAM}
    with (
        PodStatusPatcher(plane, namespace=TEAM, scripts=scripts),
        RunningOperator(plane, tmp_path, **settings) as operator,
    ):
        operator.wait_ready().wait_leading()
        yield Place(prometheus, adapter, servers)
        adapter.remove()
        take_down(servers.client)
        servers.spread()  # nobody is left
        until(lambda: not prometheus.query(METRIC), seconds=SECONDS, what="no series that other tests would find")


def test_servers_follow_the_requests_in_flight(place):
    """By default for 16 requests a server: 56 need four, and 24 two."""
    place.servers.requests = 56
    limits = {"min": 2, "max": 2, "signal": "Concurrency"}
    deploy(place.client, NAME, autoscaling=limits, rollout={"strategy": "Recreate"})
    assert place.until_scaling("False", NO_ADAPTER).endswith(NEEDED)
    place.adapter.install()
    place.adapter.start()
    assert place.until_scaling("False", NO_SERIES).endswith(NEEDED)

    place.until_measured(2, "28")
    assert place.adapter.of_pods(METRIC, namespace=TEAM) == ["28", "28"]
    place.until_scaling("True", f"from pods metric {METRIC}")

    place.client.patch("ModelDeployment", NAME, {"spec": {"autoscaling": limits | {"max": 8}}})
    place.until_measured(4, "14")
    assert place.sizes()[0] == f"New size: 4; reason: pods metric {METRIC} above target"
    until(lambda: place.status["ready"] == "4/4", seconds=SECONDS, what="four servers that answer")

    place.adapter.stop()
    assert place.until_scaling("False", NO_ANSWER).endswith(NEEDED)
    place.load(24)
    assert place.measured()[0] == 4, "without numbers none is taken away"

    place.adapter.start()
    place.until_measured(2, "12")
    place.until_scaling("True", f"from pods metric {METRIC}")
    until(lambda: place.status["ready"] == "2/2", seconds=SECONDS, what="two servers that answer")
