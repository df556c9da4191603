"""The recording rules about broken data by the real promtool, and what the operator's own questions find in them."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from metrics_page import RULES
from rule_series import check_rules, sample, series

from tuneloop_operator.decide.model_deployment.retraining import data_quality
from tuneloop_operator.decide.model_deployment.retraining.triggers.evidence import About

OF = {"revision": "03ab"}
ABOUT = About(namespace="team", deployment="reviews", revision="03ab", cutoff=datetime(2026, 1, 1, tzinfo=UTC))
STEP = "1h"
DAYS = 10
HOURS = 24 * DAYS


def texts(kind: str, hourly: str, **labels: str) -> dict[str, str]:
    """Return a counter of texts. hourly: what it says each hour, as promtool reads it."""
    return series("tuneloop_texts_total", hourly, kind=kind, **OF | labels)


def requests(reason: str, hourly: str) -> dict[str, str]:
    return series("tuneloop_requests_total", hourly, reason=reason, **OF)


def of_days(sound: int, broken: int, *, kind: str = "garbled", days: int = 1) -> list[dict[str, str]]:
    """Return texts of ten days: broken ones only in the last `days`."""
    before = HOURS - 24 * days
    return [texts("sound", f"0+{sound}x{HOURS}"), texts(kind, f"0x{before - 1} 0+{broken}x{24 * days}")]


def feedback(name: str, values: str, *, day: str = "2026-01-09", **labels: str) -> dict[str, str]:
    return series(f"tuneloop_feedback{name}", values, predicted_by="03ab", day=day, **labels)


def expect(expr: str, value: float | None, *, at: str = f"{DAYS}d", **labels: str) -> dict[str, Any]:
    samples = [] if value is None else [sample(value, **labels)]
    return {"expr": f"round({expr}, 0.001)", "eval_time": at, "exp_samples": samples}


def test_shares_are_those_of_all_texts_over_replicas(tmp_path: Path) -> None:
    given = [
        texts("sound", "0+60x48"),
        texts("sound", "0+20x48", pod="b"),
        texts("blank", "0+5x48"),
        texts("blank", "0+15x48", pod="b"),
        requests("ok", "0+90x48"),
        requests("validation", "0+30x48"),
        requests("overloaded", "0+500x48"),
    ]
    tests = [
        expect("tuneloop:texts:increase24h", 2400, at="48h", **OF),
        expect('tuneloop:texts:ratio24h{kind="blank"}', 0.2, at="48h", kind="blank", **OF),
        expect("tuneloop:input_requests:increase24h", 2880, at="48h", **OF),
        expect("tuneloop:invalid_requests:ratio24h", 0.25, at="48h", **OF),
    ]
    check_rules(tmp_path, {"input_series": given, "promql_expr_test": tests, "interval": STEP}, every=STEP)


def test_shares_of_an_hour_are_those_of_a_day_over_another_window() -> None:
    (group,) = [
        found for found in yaml.safe_load(RULES.read_text())["groups"] if found["name"] == "tuneloop-data-quality"
    ]
    rules = {rule["record"]: rule["expr"] for rule in group["rules"]}
    for name in ("tuneloop:texts:increase1h", "tuneloop:texts:ratio1h"):
        of_day = rules[name].replace("1h", "24h").replace("> 0", ">= 200")
        assert rules[name.replace("1h", "24h")] == of_day


def test_the_worst_client_counts_by_the_revision_that_predicted_and_also_of_a_pod_that_is_gone(tmp_path: Path) -> None:
    given = [
        feedback("_worst_client_labels", "9x2 40x30", revision="7d1f"),
        feedback("_worst_client_correct", "8x2 1x30", revision="7d1f"),
        feedback("_worst_client_labels", "7x4", revision="03ab", pod="gone"),
        feedback("_worst_client_correct", "2x4", revision="03ab", pod="gone"),
    ]
    tests = [
        expect("tuneloop:feedback_worst_client_labels:count", 47, at="24h", **OF),
        expect("tuneloop:feedback_worst_client_correct:count", 3, at="24h", **OF),
    ]
    check_rules(tmp_path, {"input_series": given, "promql_expr_test": tests, "interval": STEP}, every=STEP)


def test_the_newest_day_that_is_mature_and_had_traffic_says_what_is_covered(tmp_path: Path) -> None:
    ends = {
        "2026-01-07": -172800,
        "2026-01-08": -86400,
        "2026-01-09": 0,
    }  # as seconds of promtool's clock, which begins at 0
    given = [series("tuneloop_model_deployment_label_delay_seconds", "3600x3")]
    for number, (day, end) in enumerate(ends.items(), start=1):
        given += [
            series("tuneloop_feedback_cohort_end_timestamp_seconds", f"{end}x3", day=day, **OF),
            feedback("_total", f"{10 * number}x3", day=day, revision="03ab"),
            feedback("_predictions_total", "1000x3", day=day, revision="03ab"),
        ]
    rule = "tuneloop:feedback_newest_coverage:ratio"
    tests = [
        expect(rule, 0.02, at="0h", day="2026-01-08", **OF),
        expect(rule, 0.03, at="2h", day="2026-01-09", **OF),
    ]
    check_rules(tmp_path, {"input_series": given, "promql_expr_test": tests, "interval": STEP}, every=STEP)


LABELLED = [
    feedback("_total", f"100x{HOURS}", revision="03ab"),
    feedback("_correct_total", f"64x{HOURS}", revision="03ab"),
    feedback("_worst_client_labels", f"33x{HOURS}", revision="03ab"),
    feedback("_worst_client_correct", f"1x{HOURS}", revision="03ab"),
]
ASKED: dict[str, tuple[list[dict[str, str]], bool, dict[str, float]]] = {
    "nothing was counted": ([], False, {"garbled": 0, "invalid": 0, "coverage": 1, "labels": 0, "client_labels": 0}),
    "a day of texts in a wrong encoding": (of_days(60, 40), False, {"garbled": 0.4, "blank": 0}),
    "the same a week ago": (
        [texts("sound", f"0+60x{HOURS}"), texts("garbled", "0x23 0+40x24 960x192")],
        False,
        {"garbled": -0.4},
    ),
    "few texts": (of_days(5, 3), False, {"garbled": 0}),
    "few texts on one of the days of the labels": (
        [texts("sound", "0+60x72 4320x71 4321 4321x24 4321+60x71"), texts("garbled", "0x145 3 3x95")],
        True,
        {"garbled": 0},
    ),
    "few requests on one of the days of the labels": (
        [requests("ok", "0+60x72 4320x71 4321 4321x24 4321+60x71"), requests("validation", "0x145 3 3x95")],
        True,
        {"invalid": 0},
    ),
    "it was always so": ([texts("sound", f"0+60x{HOURS}"), texts("garbled", f"0+40x{HOURS}")], False, {"garbled": 0}),
    "three days ago, to the last day": (
        [texts("sound", f"0+60x{HOURS}"), texts("garbled", "0x143 0+40x24 960x72")],
        False,
        {"garbled": 0},
    ),
    "three days ago, to the days of the labels": (
        [texts("sound", f"0+60x{HOURS}"), texts("garbled", "0x143 0+40x24 960x72")],
        True,
        {"garbled": 0.4},
    ),
    "labels of one client": (LABELLED, True, {"labels": 100, "right": 64, "client_labels": 33, "client_right": 1}),
}


@pytest.mark.parametrize("name", ASKED)
def test_the_operator_finds_what_is_wrong_and_a_number_where_nothing_is(name: str, tmp_path: Path) -> None:
    given, of_labels, values = ASKED[name]
    texts_of = {query.part: str(query.query) for query in data_quality.queries(ABOUT, of_labels=of_labels)}
    tests = [
        {
            "expr": f"round({texts_of[part]}, 0.001)",
            "eval_time": f"{DAYS}d",
            "exp_samples": [{"labels": "{}", "value": value}],
        }
        for part, value in values.items()
    ]
    check_rules(tmp_path, {"input_series": given, "promql_expr_test": tests, "interval": STEP}, every=STEP)
