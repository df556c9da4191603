"""The queries of the story of drift by the real promtool, against the same numbers in Python; and as triggers and gates take them."""

from __future__ import annotations

import math

import pytest
import yaml
from demo_loop.accuracy import wilson
from demo_loop.queries import accuracy_shortfall, drift, psi, psi_critical, with_names
from metrics_page import promtool

from tuneloop_operator.decide.gate_query import query_problem

NAMES = {"namespace": "team", "deployment": "reviews", "revision": "03ab"}
OF = 'namespace="team",deployment="reviews"'
BINS = {"0": (60, 0.5), "1": (30, 0.3), "2": (0, 0.2)}
"""By bin: texts in a minute, of two replicas together, and its share in the baseline."""
BASELINE_SAMPLES, CHI_SQUARED = 400, 9.21
MINUTES = 2
WINDOW = f"{MINUTES}m"
RIGHT, LABELS = 110, 150
"""In a minute."""


def series(name: str, labels: str, values: str) -> dict[str, str]:
    return {"series": f"{name}{{{labels}}}", "values": values}


def counted() -> list[dict[str, str]]:
    found = []
    for bin_, (per_minute, share) in BINS.items():
        labels = f'{OF},revision="03ab",feature="tokens",bin="{bin_}"'
        found += [
            series("tuneloop_feature_bin_total", f'{labels},pod="{pod}"', f"0+{per_minute // 2}x10") for pod in "ab"
        ]
        found.append(series("tuneloop_reference_bin_ratio", labels, f"{share}x10"))
    feature = f'{OF},revision="03ab",feature="tokens"'
    found.append(series("tuneloop_reference_samples", feature, f"{BASELINE_SAMPLES}x10"))
    found.append(series("tuneloop_reference_chi_squared", feature, f"{CHI_SQUARED}x10"))
    # the canary took half of the labels of the stable revision, and has worse ones of its own
    for server in ("03ab", "7d1f"):
        of_stable = f'{OF},revision="{server}",predicted_by="03ab",day="2026-11-30"'
        found.append(series("tuneloop_feedback_total", of_stable, f"0+{LABELS // 2}x10"))
        found.append(series("tuneloop_feedback_correct_total", of_stable, f"0+{RIGHT // 2}x10"))
    of_canary = f'{OF},revision="7d1f",predicted_by="7d1f",day="2026-11-30"'
    found.append(series("tuneloop_feedback_total", of_canary, "0+90x10"))
    found.append(series("tuneloop_feedback_correct_total", of_canary, "0x10"))
    return found


def other_revision() -> list[dict[str, str]]:
    """Return the texts and the baseline of a canary that is much farther off."""
    found = []
    for bin_ in BINS:
        labels = f'{OF},revision="7d1f",feature="tokens",bin="{bin_}"'
        found.append(series("tuneloop_feature_bin_total", f'{labels},pod="c"', "0+90x10" if bin_ == "2" else "0x10"))
        found.append(series("tuneloop_reference_bin_ratio", labels, "0.01x10" if bin_ == "2" else "0.495x10"))
    feature = f'{OF},revision="7d1f",feature="tokens"'
    found.append(series("tuneloop_reference_samples", feature, "400x10"))
    found.append(series("tuneloop_reference_chi_squared", feature, "9.21x10"))
    return found


def check(tmp_path, query: str, expected: float | None, labels: str = "{}", more: list | None = None) -> None:
    """Let promtool compare the value of a query after five minutes."""
    rules = {"groups": [{"name": "g", "rules": [{"record": "found", "expr": with_names(query, NAMES)}]}]}
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(rules))
    samples = [] if expected is None else [{"labels": labels, "value": 1.0}]
    # promtool compares exactly, so the test compares here
    near = f"abs(found - {expected}) < bool 0.000001" if expected is not None else "found"
    test = {
        "rule_files": ["rules.yaml"],
        "evaluation_interval": "1m",
        "tests": [
            {
                "interval": "1m",
                "input_series": counted() + (more or []),
                "promql_expr_test": [{"expr": near, "eval_time": "5m", "exp_samples": samples}],
            }
        ],
    }
    (tmp_path / "test.yaml").write_text(yaml.safe_dump(test))
    status, text = promtool("test", "rules", str(tmp_path / "test.yaml"))
    assert status == 0, text


OF_FEATURE = f'{{{OF},revision="03ab",feature="tokens"}}'


SAMPLES = sum(per_minute for per_minute, _ in BINS.values()) * MINUTES
SHARES = [((per_minute * MINUTES + 0.5) / (SAMPLES + 0.5 * len(BINS)), then) for per_minute, then in BINS.values()]
INDEX = sum((now - then) * math.log(now / then) for now, then in SHARES)
CRITICAL = CHI_SQUARED * (1 / BASELINE_SAMPLES + 1 / SAMPLES)


def test_psi_is_that_of_the_window_over_all_replicas(tmp_path) -> None:
    check(tmp_path, psi(WINDOW), INDEX, OF_FEATURE)


def test_the_critical_value_is_that_of_both_samples(tmp_path) -> None:
    check(tmp_path, psi_critical(WINDOW), CRITICAL, OF_FEATURE)


def test_drift_is_a_multiple_of_the_critical_value_of_the_stable_revision_alone(tmp_path) -> None:
    check(tmp_path, drift(WINDOW), INDEX / CRITICAL, more=other_revision())


def test_the_shortfall_is_one_less_wilsons_upper_limit_of_the_stable_revision(tmp_path) -> None:
    _, high = wilson(RIGHT / LABELS, LABELS * MINUTES)
    check(tmp_path, accuracy_shortfall(WINDOW), 1 - high)


def test_few_labels_are_no_number(tmp_path) -> None:
    few = accuracy_shortfall(WINDOW).replace(">= 100", f">= {LABELS * MINUTES + 1}")
    check(tmp_path, few, None)


@pytest.mark.parametrize("query", [accuracy_shortfall("2m"), drift("2m"), psi("2m"), psi_critical("2m")])
def test_a_trigger_may_ask_it(query: str) -> None:
    assert query_problem(query) == ""
    assert len(query) <= 4096
