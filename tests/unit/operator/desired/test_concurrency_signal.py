"""The rule that we give to users of prometheus-adapter offers the metric that the autoscaler asks for, by the names that Prometheus has for pods."""

from __future__ import annotations

from pathlib import Path

import yaml
from golden_deployments import autoscaled_children

VALUES = Path(__file__).parents[4] / "examples/autoscaling/prometheus-adapter.yaml"


def test_the_rule_for_prometheus_adapter_offers_the_metric_of_the_autoscaler() -> None:
    _, by_requests = autoscaled_children()
    (asked,) = by_requests["spec"]["metrics"]
    (rule,) = yaml.safe_load(VALUES.read_text(encoding="utf-8"))["rules"]["custom"]
    series, _, labels = rule["seriesQuery"].partition("{")
    assert series == asked["pods"]["metric"]["name"]
    assert labels == 'namespace!="",pod!=""}'
    assert rule["resources"]["overrides"] == {name: {"resource": name} for name in ("namespace", "pod")}
    assert "name" not in rule, "the metric keeps its name"
