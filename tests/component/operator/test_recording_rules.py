"""The recording rules by the real promtool, on series with the labels that docs/metrics.md lists, which are those that the programs export."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
import yaml
from metrics_page import PAGE, ROOT, RULES, lint, names_in_rules, promtool, rows
from rule_series import BY_NAME, check_rules, series, written


def routed(values: str, **labels: str) -> dict[str, str]:
    return series("envoy_router_requests_total", values, **labels)


def served(values: str, **labels: str) -> dict[str, str]:
    return series("tuneloop_requests_total", values, **labels)


def buckets(name: str, *counts: tuple[str, str], **labels: str) -> list[dict[str, str]]:
    return [series(f"{name}_bucket", values, le=edge, **labels) for edge, values in counts]


def labels(all_: str, correct: str, predictions: str, **of: str) -> list[dict[str, str]]:
    names = {"": all_, "_correct": correct, "_predictions": predictions}
    return [series(f"tuneloop_feedback{name}_total", values, **of) for name, values in names.items()]


INPUT = [
    # a deployment with two routers, whose canary 7d1f is dying: 10 % of its requests are answered by stable
    routed("0+54x20", target="7d1f", revision="7d1f", code="200"),
    routed("0+6x20", target="7d1f", revision="03ab", code="200"),
    routed("0+60x20", target="03ab", revision="03ab", code="200"),
    routed("0+60x20", target="03ab", revision="03ab", code="200", pod="b"),
    routed("0+14x20", target="03ab", revision="03ab", code="500"),
    routed("0+3x20", target="03ab", revision="", code="503"),
    # its servers, with the comparator's requests
    served("0+600x20", revision="03ab", code="200"),
    served("0+600x20", revision="7d1f", code="422", reason="validation"),
    # deployments without routers
    served("0+90x20", deployment="plain", revision="aaaa", code="200"),
    served("0+30x20", deployment="plain", revision="aaaa", code="503", reason="unavailable"),
    served("0+60x20", namespace="other", revision="bbbb", code="200"),
    served("7x20", deployment="idle", revision="cccc", code="200"),
    # times: all between 10 and 25 ms, by routers and by servers
    *buckets("envoy_router_duration_milliseconds", ("10", "0x20"), ("25", "0+60x20"), ("+Inf", "0+60x20"), revision="03ab"),
    *buckets("envoy_router_first_byte_milliseconds", ("10", "0x20"), ("25", "0+60x20"), ("+Inf", "0+60x20"), revision="03ab"),
    *buckets("tuneloop_request_duration_seconds", ("1.0", "0x20"), ("2.5", "0+6x20"), ("+Inf", "0+6x20"), revision="03ab"),
    *buckets("tuneloop_request_duration_seconds", ("0.01", "0x20"), ("0.025", "0+6x20"), ("+Inf", "0+6x20"), deployment="plain", revision="aaaa"),
    *buckets("tuneloop_request_duration_seconds", ("0.01", "7x20"), ("0.025", "7x20"), ("+Inf", "7x20"), deployment="idle", revision="cccc"),
    series("envoy_cluster_upstream_rq_retry", "0+12x20", revision="7d1f", envoy_cluster_name="reviews/reviews-7d1f"),
    series("envoy_cluster_upstream_rq_retry", "0+6x20", revision="7d1f", envoy_cluster_name="reviews/reviews-7d1f/or-stable"),
    series("envoy_cluster_membership_healthy", "2x20", revision="03ab"),
    series("envoy_cluster_membership_healthy", "1x20", revision="03ab", pod="b"),
    series("envoy_cluster_membership_healthy", "1x20", revision=""),
    # labels of yesterday and of today. A pod of 03ab has gone, and 7d1f took feedback about 03ab
    series("tuneloop_model_deployment_label_delay_seconds", "300x20"),
    *(series("tuneloop_feedback_cohort_end_timestamp_seconds", f"{end}x20", day=day) for day, end in (("d1", 600), ("d2", 1080))),
    *labels("60x5 _x15", "30x5 _x15", "600x5 _x15", pod="gone", day="d1", predicted_by="03ab"),
    *labels("0+2x20", "0+2x20", "0x20", revision="7d1f", day="d1", predicted_by="03ab"),
    *labels("0+5x20", "0+4x20", "0+10x20", revision="7d1f", day="d1", predicted_by="7d1f"),
    *labels("500x20", "0x20", "500x20", revision="7d1f", day="d2", predicted_by="7d1f"),
    *labels("500x20", "0x20", "500x20", revision="7d1f", day="d0", predicted_by="7d1f"),
    # labels that took up to an hour, 8 of 10 of them, or up to a day
    *buckets("tuneloop_feedback_lag_seconds", ("60", "0x20"), ("3600", "0+8x20"), ("86400", "0+10x20"), ("+Inf", "0+10x20"), revision="7d1f"),
]  # fmt: skip
STABLE, CANARY, PLAIN, IDLE = (
    {"revision": "03ab"},
    {"revision": "7d1f"},
    {"deployment": "plain", "revision": "aaaa"},
    {"deployment": "idle", "revision": "cccc"},
)
EXPECTED: dict[str, list[tuple[dict[str, str], float]]] = {
    "tuneloop:requests:rate5m": [
        ({"revision": "7d1f", "code": "200"}, 0.9),
        (STABLE | {"code": "200"}, 2.1),
        (STABLE | {"code": "500"}, 0.23333),
        ({"code": "503"}, 0.05),
        (PLAIN | {"code": "200"}, 1.5),
        (PLAIN | {"code": "503"}, 0.5),
        ({"namespace": "other", "revision": "bbbb", "code": "200"}, 1),
        (IDLE | {"code": "200"}, 0),
    ],
    "tuneloop:request_errors:ratio_rate5m": [
        ({"revision": "7d1f"}, 0),
        (STABLE, 0.1),
        ({}, 1),
        (PLAIN, 0.25),
        ({"namespace": "other", "revision": "bbbb"}, 0),
    ],
    "tuneloop:request_duration_seconds:p95_5m": [(STABLE, 0.02425), (PLAIN, 0.02425)],
    "tuneloop:first_byte_seconds:p95_5m": [(STABLE, 0.02425)],
    "tuneloop:request_retries:rate5m": [({"revision": "7d1f"}, 0.3)],
    "tuneloop:healthy_servers:min": [(STABLE, 1)],
    "tuneloop:feedback_cohort_age:mature": [({"day": "d1"}, 300)],
    "tuneloop:feedback_cohort_labels:count": [
        (STABLE | {"day": "d1"}, 100),
        *((CANARY | {"day": day}, count) for day, count in (("d0", 500), ("d1", 100), ("d2", 500))),
    ],
    "tuneloop:feedback_cohort_correct:count": [
        (STABLE | {"day": "d1"}, 70),
        *((CANARY | {"day": day}, count) for day, count in (("d0", 0), ("d1", 80), ("d2", 0))),
    ],
    "tuneloop:feedback_cohort_predictions:count": [
        (STABLE | {"day": "d1"}, 600),
        *((CANARY | {"day": day}, count) for day, count in (("d0", 500), ("d1", 200), ("d2", 500))),
    ],
    "tuneloop:feedback_labels:mature": [(STABLE, 100), (CANARY, 100)],
    "tuneloop:feedback_correct:mature": [(STABLE, 70), (CANARY, 80)],
    "tuneloop:feedback_predictions:mature": [(STABLE, 600), (CANARY, 200)],
    "tuneloop:feedback_coverage:ratio": [(STABLE, 100 / 600), (CANARY, 0.5)],
    "tuneloop:feedback_accuracy:ratio": [(STABLE, 0.7), (CANARY, 0.8)],
    "tuneloop:feedback_accuracy:lower95": [(STABLE, 0.60415), (CANARY, 0.71117)],
    "tuneloop:feedback_accuracy:upper95": [(STABLE, 0.78105), (CANARY, 0.86663)],
    "tuneloop:feedback_lag_seconds:p50_24h": [({}, 60 + 3540 * 5 / 8)],
    "tuneloop:feedback_lag_seconds:p95_24h": [({}, 3600 + 82800 * 1.5 / 2)],
}


def expectation(name: str) -> dict[str, Any]:
    """Return the values of a rule after 20 minutes, of all its series."""
    found = []
    for labels, value in EXPECTED[name]:
        all_labels = {"namespace": "team", "deployment": "reviews"} | labels
        found.append({"labels": written(all_labels), "value": round(value * 1e5)})
    return {"expr": f"round({name} * 1e5)", "eval_time": "20m", "exp_samples": found}


@pytest.mark.parametrize("name", EXPECTED)
def test_a_rule_says_what_clients_got(name, tmp_path):
    check_rules(tmp_path, {"input_series": INPUT, "promql_expr_test": [expectation(name)]})


def test_every_rule_is_on_the_page_and_is_tested():
    groups = yaml.safe_load(RULES.read_text())["groups"]
    recorded = {group["name"]: {rule["record"] for rule in group["rules"]} for group in groups}
    recorded.pop(
        "tuneloop-vllm"
    )  # they record metrics of model servers, which have sections of their own: test_vllm_rules.py
    assert set().union(*recorded.values()) == rows("Recording rules").keys()
    assert (recorded["tuneloop"] | recorded["tuneloop-feedback"]) - EXPECTED.keys() == {
        "tuneloop:router_requests:rate5m",
        "tuneloop:server_requests:rate5m",
    }


def test_the_rules_use_what_the_page_lists():
    assert names_in_rules("envoy") <= rows("Routers").keys()
    assert names_in_rules("tuneloop") <= BY_NAME.keys()
    assert names_in_rules("envoy") >= {"envoy_router_requests_total", "envoy_router_duration_milliseconds"}
    assert names_in_rules("tuneloop") >= {
        "tuneloop_requests_total",
        "tuneloop_request_duration_seconds",
        "tuneloop_feedback_total",
    }


def test_the_chart_has_the_same_file():
    copy = ROOT / "charts/tuneloop/rules-files/recording_rules.yaml"
    assert copy.read_text() == RULES.read_text(), f"cp {RULES.relative_to(ROOT)} {copy.relative_to(ROOT)}"


def test_every_example_of_the_page_is_promql_about_its_metric(tmp_path):
    sections = re.findall(r"^## (.+)$", PAGE, re.MULTILINE)
    examples = {name: row.example for section in sections for name, row in rows(section).items()}
    assert len(examples) > 80
    for name, example in examples.items():
        assert re.search(rf"(?<![\w:]){name}(?!:)", example), name
    rules = [{"record": "example:of:page", "expr": expr, "labels": {"of": name}} for name, expr in examples.items()]
    file = tmp_path / "examples.yaml"
    file.write_text(json.dumps({"groups": [{"name": "examples", "rules": rules}]}))
    status, output = promtool("check", "rules", str(file))
    assert status == 0, output


def test_promtool_finds_a_name_that_breaks_the_conventions():
    assert lint("# HELP a_total Text.\n# TYPE a_total gauge\na_total 1\n") != []
