"""The queries of the dashboards by the real promtool, on series with the labels that docs/metrics.md lists."""

from __future__ import annotations

import json
from typing import Any

import promql_parser as promql
import pytest
from dashboards_page import DASHBOARDS, VARIABLES, known_labels, queries
from metrics_page import promtool

KNOWN = known_labels()
USUAL = {"namespace": "team", "deployment": "reviews", "name": "reviews", "revision": "03ab", "le": "1"}
NOW = "60m"
GROWS = "0+6x120"
MARKS = {
    mark["name"]: mark["expr"]
    for mark in DASHBOARDS["tuneloop-deployment"]["annotations"]["list"]
}  # fmt: skip


def selectors(query: str) -> list[Any]:
    """Return the selectors of a query."""
    found: list[Any] = []

    def visit(node: Any) -> None:
        if isinstance(node, promql.MatrixSelector):
            found.append(node.vector_selector)
        elif isinstance(node, promql.VectorSelector):
            found.append(node)

    promql.walk(promql.parse(query), pre_visit=visit)
    return found


def series(name: str, values: str, /, **labels: str) -> dict[str, str]:
    """Return a series with all the labels of a metric; those that do not matter get a usual value."""
    base = name if name in KNOWN else name.removesuffix("_sum").removesuffix("_count")
    given = {label: USUAL.get(label, "any") for label in KNOWN[base]} | labels
    assert given.keys() == KNOWN[base], "a label that no program has"
    text = ",".join(f'{label}="{value}"' for label, value in sorted(given.items()))
    return {"series": f"{name}{{{text}}}", "values": values}


def matching(selector: Any) -> list[dict[str, str]]:
    """Return series that a selector finds; of a histogram a bucket with all, too."""
    equal = {
        matcher.name: matcher.value.partition("|")[0]
        for matcher in selector.matchers.matchers
        if matcher.op in (promql.MatchOp.Equal, promql.MatchOp.Re) and matcher.value != ".*"
    }
    buckets = [{"le": "1"}, {"le": "+Inf"}] if selector.name.endswith("_bucket") else [{}]
    return [series(selector.name, GROWS, **equal, **bucket) for bucket in buckets]


def judged(tmp_path, input_series, tests):
    """Return what promtool says of expressions; empty if all are as expected."""
    document = {"tests": [{"interval": "1m", "input_series": input_series, "promql_expr_test": tests}]}
    file = tmp_path / "dashboards_test.yaml"
    file.write_text(json.dumps(document))
    status, output = promtool("test", "rules", str(file))
    return output if status else ""


def test_every_query_finds_something_where_the_metrics_are(tmp_path):
    asked = [found for found in queries() if not found.where.endswith(": Promoted")]
    given = {row["series"]: row for found in asked for selector in selectors(found.expr) for row in matching(selector)}
    tests = [
        {"expr": f"count({found.expr}) > bool 0", "eval_time": NOW, "exp_samples": [{"labels": "{}", "value": 1}]}
        for found in asked
    ]
    assert len(tests) > 80
    assert judged(tmp_path, list(given.values()), tests) == ""


def role(name: str, revision: str, values: str) -> dict[str, str]:
    return series("tuneloop_revision_info", values, role=name, revision=revision)


PROMOTION = [
    role("stable", "03ab", "1x29 stale"),
    role("stable", "7d1f", "_x30 1x30"),
    role("canary", "7d1f", "_x10 1x19 stale"),
]
STARTED = [*PROMOTION, series("tuneloop_rollout_start_timestamp_seconds", "_x10 590x19 stale")]
OTHERS = {"namespace": "team", "deployment": "reviews"}
CASES = [
    ("Promoted", PROMOTION, "29m", {}),
    ("Promoted", PROMOTION, "30m", OTHERS | {"revision": "7d1f"}),
    ("Promoted", PROMOTION, "40m", {}),
    ("Promoted", [role("stable", "03ab", "_x10 1x50")], "10m", {}),
    ("Rolled back", [series("tuneloop_rollouts_total", "0x29 1x31", outcome="RolledBack")], "30m", OTHERS | {"outcome": "RolledBack"}),
    ("Rolled back", [series("tuneloop_rollouts_total", "0x29 1x31", outcome="Promoted")], "30m", {}),
    ("Retrained", [series("tuneloop_retrains_total", "0x29 1x31", trigger="drift", outcome="Promoted")], "30m", OTHERS | {"trigger": "drift", "outcome": "Promoted"}),
    ("Canary started", STARTED, "15m", OTHERS | {"revision": "7d1f"}),
    ("Canary started", STARTED, "50m", {}),
]  # fmt: skip


@pytest.mark.parametrize(("mark", "given", "time", "labels"), CASES, ids=[f"{case[0]} {case[2]}" for case in CASES])
def test_a_mark_stands_where_it_happened(mark, given, time, labels, tmp_path):
    expr = MARKS[mark]
    for variable, value in VARIABLES.items():
        expr = expr.replace(variable, value)
    found = ",".join(f'{label}="{value}"' for label, value in sorted(labels.items()))
    expected = [{"labels": f"{{{found}}}", "value": 1}] if labels else []
    assert judged(tmp_path, given, [{"expr": f"({expr}) > bool 0", "eval_time": time, "exp_samples": expected}]) == ""
