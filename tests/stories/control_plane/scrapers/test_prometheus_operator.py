"""What the Prometheus Operator makes of the chart's monitors and rules, and what a Prometheus that it configures finds in our pods."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cluster_prometheus
import pytest
import scrapers
import yaml
from artifact import manifest_of
from chart_values import PROMETHEUS
from helm_chart import CHART, of_kind, operator_pod
from prometheus_client import CollectorRegistry, Counter, Gauge, start_http_server
from server_process import configuration
from waiting import until

from tuneloop_operator.metrics.recording_rules import recording_rules
from tuneloop_server.monitoring import Monitoring

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cluster.control_plane import ControlPlane

GOLDEN = Path(__file__).parents[3] / "golden" / "operator"
TEAM = "team-a"
MODELS, OPERATOR = "tuneloop-system/tuneloop-models", "tuneloop-system/tuneloop"
"""Jobs of Prometheus."""
SECONDS = 60
WITH_METRICS = {"server": "serving", "custom": "custom-runtime", "router": "routed", "comparator": "compared"}
"""Pods by the file that holds their Deployment."""
WITHOUT_METRICS = {"old": "serving-one-port"}


def test_the_operators_kinds_take_the_monitors_of_all_namespaces(plane, helm, monitored):
    values = {"rbac": {"scope": "cluster"}, "monitor": {"interval": "1m30s", "models": {"create": "always"}}}
    found = helm.rendered(values, namespace="team-b", served=[PROMETHEUS])
    for monitor in (monitor for kind in scrapers.KINDS for monitor in of_kind(found, kind)):
        scrapers.create(plane, monitor, dry_run=True)


def test_the_configuration_is_one_of_prometheus(monitored):
    assert cluster_prometheus.complaint("config", monitored.configuration) == ""


def test_the_rules_are_those_of_the_chart(monitored):
    assert [cluster_prometheus.complaint("rules", path) for path in monitored.rules] == ["", ""]
    of_rules, of_alerts = sorted((yaml.safe_load(path.read_text()) for path in monitored.rules), key=_is_of_alerts)
    assert of_rules == yaml.safe_load(recording_rules())
    assert of_alerts == yaml.safe_load((CHART / "rules-files/alerts.yaml").read_text())


def _is_of_alerts(rules: dict[str, Any]) -> bool:
    return "alert" in rules["groups"][0]["rules"][0]


def test_models_are_looked_for_where_the_operator_watches_and_nowhere_else(monitored):
    (models,) = [job for job in monitored.written["scrape_configs"] if job["job_name"] == f"podMonitor/{MODELS}/0"]
    (discovery,) = models["kubernetes_sd_configs"]
    assert (discovery["role"], sorted(discovery["namespaces"]["names"])) == ("pod", ["team-a", "team-b"])
    assert (models["scrape_interval"], models["honor_labels"]) == ("1s", False)


@pytest.fixture(scope="module")
def pods(plane: ControlPlane, monitored: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """Pods as our operator makes them, with exporters at their addresses: those of ours where they run without a model, else counters of the same names."""
    made = {
        name: run_pod(plane, name, template_of(GOLDEN / f"{file}.yaml"), namespace=TEAM)
        for name, file in (WITH_METRICS | WITHOUT_METRICS).items()
    }
    made["operator"] = run_pod(plane, "operator", operator_pod(monitored.chart), namespace="tuneloop-system")
    registries = {
        "server": lying_server(tmp_path_factory.mktemp("server")),
        "router": router_counts(),
        "comparator": CollectorRegistry(),
        "custom": CollectorRegistry(),
        "operator": operator_counts(),
    }
    with ExitStack() as stack:
        for name, registry in registries.items():
            stack.enter_context(exporting(made[name], registry))
        monitored.discovery.look()
        yield made


def test_each_program_is_found_once_at_its_port_of_metrics(prometheus, pods):
    def found() -> list[dict[str, str]]:
        return sorted(prometheus.labels(MODELS), key=lambda labels: labels["pod"])

    until(lambda: [labels["health"] for labels in found()] == ["up"] * 4, seconds=SECONDS, what="four targets up")
    by_pod = {labels["pod"]: labels for labels in found()}
    assert by_pod.keys() == WITH_METRICS.keys()
    for name, labels in by_pod.items():
        own = pods[name]["metadata"]["labels"]
        assert labels["instance"] == f"{pods[name]['status']['podIP']}:{metrics_port(pods[name])}"
        assert (labels["namespace"], labels["deployment"]) == (TEAM, "reviews")
        assert labels["component"] == own.get("tuneloop.dev/component", "server")
        assert labels.get("revision") == own.get("tuneloop.dev/revision")


def test_a_server_that_writes_the_names_of_others_is_counted_under_its_own(prometheus, pods):
    (sample,) = until(lambda: prometheus.query("tuneloop_model_info"), seconds=SECONDS, what="a model server")
    assert not [name for name in sample if name.startswith("exported_")]
    assert (sample["namespace"], sample["deployment"], sample["revision"]) == (
        TEAM,
        "reviews",
        revision_of(pods["server"]),
    )


def test_series_of_a_router_keep_their_revisions(prometheus, pods):
    counts = until(lambda: prometheus.query("envoy_router_requests_total"), seconds=SECONDS, what="a router")
    assert {(count["deployment"], count["revision"], count["target"]) for count in counts} == {
        ("reviews", "1a", "1a"),
        ("reviews", "1a", "2b"),
    }


def test_the_operators_series_keep_the_namespace_of_each_job(prometheus, pods):
    (jobs,) = until(lambda: prometheus.query("tuneloop_jobs"), seconds=SECONDS, what="the operator")
    assert (jobs["namespace"], jobs["job"], jobs["pod"]) == ("team-of-the-job", OPERATOR, "operator")


def test_the_rules_find_the_labels_that_they_count_by(prometheus, pods):
    of_routers = until(lambda: prometheus.query("tuneloop:router_requests:rate5m"), seconds=SECONDS, what="a rate")
    of_servers = until(lambda: prometheus.query("tuneloop:server_requests:rate5m"), seconds=SECONDS, what="a rate")
    name_and_value = {"__name__", "value"}
    assert [{name: text for name, text in found.items() if name not in name_and_value} for found in of_routers] == [
        {"namespace": TEAM, "deployment": "reviews", "revision": "1a", "code": "200"}
    ]
    assert [{name: text for name, text in found.items() if name not in name_and_value} for found in of_servers] == [
        {"namespace": TEAM, "deployment": "reviews", "revision": revision_of(pods["server"]), "code": "200"}
    ]


def template_of(file: Path) -> dict[str, Any]:
    """Return the pod template of the Deployment in a file."""
    (deployment,) = of_kind(yaml.safe_load_all(file.read_text(encoding="utf-8")), "Deployment")
    return deployment["spec"]["template"]


def run_pod(plane: ControlPlane, name: str, template: dict[str, Any], *, namespace: str) -> dict[str, Any]:
    """Make a pod that runs at an address of this machine; return it."""
    spec = {field: value for field, value in template["spec"].items() if field != "serviceAccountName"}
    body = {"metadata": {"name": name, "labels": template["metadata"]["labels"]}, "spec": spec}
    path = f"/api/v1/namespaces/{namespace}/pods"
    made = plane.request("POST", path, body)
    assert made.status == 201, made.body
    status = {"phase": "Running", "podIP": scrapers.loopback_address(made.body)}
    patched = plane.request(
        "PATCH", f"{path}/{name}/status", {"status": status}, content_type="application/merge-patch+json"
    )
    assert patched.status == 200, patched.body
    return patched.body


def metrics_port(pod: dict[str, Any]) -> int:
    (port,) = [
        port["containerPort"]
        for container in pod["spec"]["containers"]
        for port in container["ports"]
        if port["name"] == "metrics"
    ]
    return port


def revision_of(pod: dict[str, Any]) -> str:
    return pod["metadata"]["labels"]["tuneloop.dev/revision"]


@contextmanager
def exporting(pod: dict[str, Any], registry: CollectorRegistry) -> Iterator[None]:
    """Serve metrics at a pod's address and port."""
    server, thread = start_http_server(metrics_port(pod), pod["status"]["podIP"], registry=registry)
    yield
    server.shutdown()
    server.server_close()
    thread.join()


def lying_server(folder: Path) -> CollectorRegistry:
    """Return the metrics of a model server that calls itself by other names, with one request."""
    config = configuration(folder, name="of-another-team", revision="another")
    monitoring = Monitoring(config, manifest_of(["no", "yes"]), label_names=["no", "yes"])
    monitoring.request_done("hf", status=200, reason="ok", seconds=0.1)
    return monitoring.registry


def router_counts() -> CollectorRegistry:
    """Return counters as Envoy names them: of requests for either revision, which one of them answered."""
    registry = CollectorRegistry()
    names = ["deployment", "target", "revision", "code"]
    counter = Counter("envoy_router_requests", "Requests.", names, registry=registry)
    for target in ("1a", "2b"):
        counter.labels("reviews", target, "1a", "200").inc()
    return registry


def operator_counts() -> CollectorRegistry:
    registry = CollectorRegistry()
    Gauge("tuneloop_jobs", "Jobs.", ["namespace", "phase"], registry=registry).labels("team-of-the-job", "Running").set(
        1
    )
    return registry
