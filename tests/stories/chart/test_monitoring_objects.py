"""What the chart makes for Prometheus and Grafana: monitors, rules, alerts, dashboards."""

from __future__ import annotations

import json

import pytest
import yaml
from chart_values import PROMETHEUS
from helm_chart import CHART, of_kind

from tuneloop_operator.metrics.recording_rules import recording_rules

DASHBOARDS = sorted((CHART / "dashboards").glob("*.json"))


@pytest.mark.parametrize(
    ("create", "served", "made"),
    [("auto", [], 0), ("auto", [PROMETHEUS], 1), ("always", [], 1), ("never", [PROMETHEUS], 0)],
)
def test_a_monitor_is_made_where_the_cluster_has_its_kind(helm, create, served, made):
    objects = helm.rendered({"monitor": {"create": create}}, served=served)
    assert len(of_kind(objects, "ServiceMonitor")) == made


@pytest.mark.parametrize("kind", ["ServiceMonitor", "PodMonitor"])
def test_a_monitor_keeps_the_namespace_of_each_job_in_its_metrics(helm, kind):
    objects = helm.rendered({"monitor": {"create": "always", "kind": kind}})
    (monitor, *_) = of_kind(objects, kind)
    (endpoint,) = monitor["spec"].get("endpoints") or monitor["spec"]["podMetricsEndpoints"]
    assert endpoint["honorLabels"] is True


@pytest.mark.parametrize(
    ("part", "kind", "name"),
    [
        ("models", "PodMonitor", "tuneloop-models"),
        ("rules", "PrometheusRule", "tuneloop"),
        ("alerts", "PrometheusRule", "tuneloop-alerts"),
    ],
    ids=["the monitor of models", "the rules", "the alerts"],
)
@pytest.mark.parametrize(
    ("create", "served", "made"),
    [("auto", [], 0), ("auto", [PROMETHEUS], 1), ("always", [], 1), ("never", [PROMETHEUS], 0)],
)
def test_each_part_of_the_monitoring_can_be_switched(helm, part, kind, name, create, served, made):
    objects = helm.rendered({"monitor": {part: {"create": create}}}, served=served)
    assert [found["metadata"]["name"] for found in of_kind(objects, kind)].count(name) == made


def test_the_rules_of_a_cluster_are_those_of_local_mode(helm):
    values = {"monitor": {"labels": {"release": "prometheus"}, "rules": {"labels": {"role": "rules"}}}}
    (rules,) = named(of_kind(helm.rendered(values, served=[PROMETHEUS]), "PrometheusRule"), "tuneloop")
    assert rules["spec"] == yaml.safe_load(recording_rules())
    assert {"release": "prometheus", "role": "rules"}.items() <= rules["metadata"]["labels"].items()


def named(objects, name):
    return [found for found in objects if found["metadata"]["name"] == name]


@pytest.mark.parametrize(
    ("given", "folder"),
    [
        ({}, "docs/runbooks"),
        ({"runbooks": "https://example.com/tuneloop/docs/runbooks/"}, "https://example.com/tuneloop/docs/runbooks"),
    ],
    ids=["in the source", "at an address"],
)
def test_the_alerts_of_a_cluster_are_those_of_the_file_with_their_runbooks(helm, given, folder):
    values = {"monitor": {"labels": {"release": "prometheus"}, "alerts": {"labels": {"role": "alerts"}} | given}}
    (alerts,) = named(of_kind(helm.rendered(values, served=[PROMETHEUS]), "PrometheusRule"), "tuneloop-alerts")
    file = yaml.safe_load((CHART / "rules-files/alerts.yaml").read_text())
    links = {
        rule["alert"]: rule["annotations"].pop("runbook_url")
        for group in alerts["spec"]["groups"]
        for rule in group["rules"]
    }
    assert links == {name: f"{folder}/{name}.md" for name in links}
    for group in file["groups"]:
        for rule in group["rules"]:
            del rule["annotations"]["runbook_url"]
    assert alerts["spec"] == file
    assert {"release": "prometheus", "role": "alerts"}.items() <= alerts["metadata"]["labels"].items()


@pytest.mark.parametrize(
    ("create", "served", "made"),
    [("auto", [], False), ("auto", [PROMETHEUS], True), ("always", [], True), ("never", [PROMETHEUS], False)],
)
def test_the_dashboards_can_be_switched(helm, create, served, made):
    found = _dashboards(helm, {"create": create}, served=served)
    assert [*found] == ([path.name for path in DASHBOARDS] if made else [])


def test_a_dashboard_reaches_grafana_byte_by_byte(helm):
    for name, config_map in _dashboards(helm, {"create": "always"}).items():
        assert config_map["data"] == {name: (CHART / "dashboards" / name).read_text()}
        assert len(json.dumps(config_map)) < 2**18, "kubectl apply keeps a copy in an annotation of this size"


@pytest.mark.parametrize(
    ("values", "labels", "annotations"),
    [
        ({}, {"grafana_dashboard": "1"}, {"grafana_folder": "Tuneloop"}),
        ({"labels": {"board": "yes"}}, {"grafana_dashboard": "1", "board": "yes"}, {"grafana_folder": "Tuneloop"}),
        ({"folder": ""}, {}, None),
        ({"folder": "ML", "annotations": {"a": "b"}}, {}, {"grafana_folder": "ML", "a": "b"}),
    ],
    ids=["the defaults", "a label", "no folder", "a folder and an annotation"],
)
def test_grafana_finds_the_dashboards_by_labels(helm, values, labels, annotations):
    for config_map in _dashboards(helm, values | {"create": "always"}).values():
        assert labels.items() <= config_map["metadata"]["labels"].items()
        assert config_map["metadata"].get("annotations") == annotations


@pytest.mark.parametrize(
    ("values", "namespaces"),
    [
        ({}, {"matchNames": ["tuneloop-system"]}),
        ({"watchNamespaces": ["team-a", "team-b"]}, {"matchNames": ["team-a", "team-b"]}),
        ({"rbac": {"scope": "cluster"}}, {"any": True}),
    ],
    ids=["its own", "two", "all"],
)
def test_models_are_scraped_in_the_namespaces_that_the_operator_watches(helm, values, namespaces):
    (monitor,) = of_kind(helm.rendered(values, served=[PROMETHEUS]), "PodMonitor")
    assert monitor["spec"]["namespaceSelector"] == namespaces


def test_a_program_in_a_pod_cannot_write_the_names_of_another_deployment(helm):
    (monitor,) = of_kind(helm.rendered(served=[PROMETHEUS]), "PodMonitor")
    ours, of_another_image = monitor["spec"]["podMetricsEndpoints"]
    for endpoint in (ours, of_another_image):
        assert endpoint["honorLabels"] is False
        written = {rule["targetLabel"] for rule in endpoint["relabelings"] if "targetLabel" in rule}
        assert written - {"__metrics_path__"} == {"deployment", "revision", "component"}
    assert (ours["port"], of_another_image["port"]) == ("metrics", "http")


def test_a_server_of_another_image_is_scraped_where_its_annotations_say(helm):
    (monitor,) = of_kind(helm.rendered(served=[PROMETHEUS]), "PodMonitor")
    _, endpoint = monitor["spec"]["podMetricsEndpoints"]
    by_source = {rule["sourceLabels"][0]: rule for rule in endpoint["relabelings"] if "sourceLabels" in rule}
    annotation = "__meta_kubernetes_pod_annotation_prometheus_io_"
    assert by_source[f"{annotation}scrape"] | {"action": "keep", "regex": "true"} == by_source[f"{annotation}scrape"]
    assert by_source[f"{annotation}path"]["targetLabel"] == "__metrics_path__"


def _dashboards(helm, values, *, served=()):
    """Return the ConfigMaps with dashboards by the name of the file in them."""
    objects = of_kind(helm.rendered({"monitor": {"dashboards": values}}, served=served), "ConfigMap")
    return {name: found for found in objects for name in found.get("data") or () if name.endswith(".json")}
