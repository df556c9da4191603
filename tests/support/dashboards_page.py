"""The dashboards of the chart as Grafana gets them, with the metrics and labels that they can ask for."""

from __future__ import annotations

import json
import re
from typing import Any, NamedTuple

from metrics_page import PAGE, ROOT, rows
from promql_labels import Labels

FOLDER = ROOT / "charts/tuneloop/dashboards"
DASHBOARDS: dict[str, dict[str, Any]] = {
    path.stem: json.loads(path.read_text()) for path in sorted(FOLDER.glob("*.json"))
}
_TARGET = frozenset({"instance", "namespace", "pod"})
"""Labels of every scraped pod. Without `job`, Prometheus' word for what it scrapes, which is taken for a FineTuneJob too easily."""
_OF_PODS = frozenset({"namespace", "deployment", "revision", "component", *_TARGET})
_BY_POD = ("Model servers", "Routers", "Comparators")
"""Begins of the sections of what pods of deployments export."""
# the namespace of a series of the operator is that of the object, or of no meaning
_OF_OPERATOR = _TARGET - {"namespace"}
_WITHOUT_REVISION = set(re.findall(r"^\| `(tuneloop:\S+)` .*without `revision`", PAGE, re.MULTILINE))
VARIABLES = {
    "$__rate_interval": "5m",
    "$__range": "1h",
    "$namespace": "team",
    "$deployment": "reviews",
    "$revision": ".*",
    "$feature": "confidence",
    "$job": "reviews",
}
"""What Grafana puts in place of variables, the longer names first."""


def known_labels() -> dict[str, Labels]:
    """Return the labels of every metric of the page, as they are in Prometheus."""
    found = dict.fromkeys(("process_cpu_seconds_total", "process_resident_memory_bytes"), _TARGET)
    for section in re.findall(r"^## (.+)$", PAGE, re.MULTILINE):
        for name, row in rows(section).items():
            labels = found.get(name, frozenset()) | row.labels | _scraped(section)
            if row.type == "histogram":
                found[f"{name}_bucket"] = labels | {"le"}
            # rules of which the page says so have no revision
            found[name] = labels - {"revision"} if name in _WITHOUT_REVISION else labels
    return found


def _scraped(section: str) -> Labels:
    """Return the labels that Prometheus and the pods' own labels add to the series of a section."""
    if section == "Recording rules":
        return frozenset({"namespace", "deployment", "revision"})
    return _OF_PODS if section.startswith(_BY_POD) else _OF_OPERATOR


class Asked(NamedTuple):
    """A query of a dashboard."""

    where: str
    """The dashboard and the title of the panel."""
    expr: str
    legend: str


def panels() -> list[tuple[str, dict[str, Any]]]:
    """Return the panels that are no headings, with their dashboard."""
    return [(name, panel) for name, page in DASHBOARDS.items() for panel in page["panels"] if panel["type"] != "row"]


def queries() -> list[Asked]:
    """Return the queries of all panels and annotations, with values in place of variables."""
    found = [
        Asked(f"{name}: {panel['title']}", _filled(target["expr"]), target.get("legendFormat", ""))
        for name, panel in panels()
        for target in panel["targets"]
    ]
    found += [
        Asked(f"{name}: {mark['name']}", _filled(mark["expr"]), mark["titleFormat"])
        for name, page in DASHBOARDS.items()
        for mark in page["annotations"]["list"]
    ]
    return found


def _filled(expr: str) -> str:
    for variable, value in VARIABLES.items():
        expr = expr.replace(variable, value)
    assert "$" not in expr, expr
    return expr
