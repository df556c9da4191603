"""The recording rules about drift and input quality by the real promtool: what they say is what was counted, also over replicas, restarts and killed pods."""

from __future__ import annotations

import numpy as np
import pytest
import yaml
from metrics_page import RULES
from rule_series import check_rules, sample, series

BINS = 10
MINUTES = {"1h": 60, "24h": 1440}
WINDOWS = ["1h", pytest.param("24h", marks=pytest.mark.full)]
REFERENCE = np.array([140, 90, 110, 100, 80, 120, 95, 105, 70, 90])
"""Counts of the baseline window."""
SHIFTED = np.array([4, 4, 6, 8, 10, 12, 14, 14, 14, 14]) / 100
OF_FEATURE = {"revision": "03ab", "feature": "tokens"}
CHI_SQUARED = 21.666


def smoothed(counts: np.ndarray) -> np.ndarray:
    """Return the shares of bins, by Laplace with 0.5."""
    shares: np.ndarray = (counts + 0.5) / (counts.sum() + 0.5 * len(counts))
    return shares


def psi(counts: np.ndarray) -> float:
    now, then = smoothed(counts), smoothed(REFERENCE)
    return float(((now - then) * np.log(now / then)).sum())


def text(totals: np.ndarray, *, since: int = 0) -> str:
    """Return the values of a counter at each minute, as promtool reads them; `since`: minutes before its first sample."""
    absent = f"_x{since - 1} " if since else ""
    return absent + " ".join(str(total) for total in totals)


class Counted:
    """Bins that pods have counted, at each minute, and what they really counted in the last window."""

    def __init__(self, minutes: int) -> None:
        self.minutes = minutes
        self.truth = np.zeros(BINS)
        self.series: list[dict[str, str]] = []
        self._random = np.random.default_rng(63)

    def pod(self, name: str, *, per_minute: float, restart: int = 0, killed: int = 0) -> None:
        """Let a pod count texts; it may start again at 0 at a minute, or be gone from a minute on."""
        end = killed or self.minutes + 1
        texts = self._random.poisson(per_minute, end)
        counted = np.array([self._random.multinomial(number, SHIFTED) for number in texts])
        counted[0] = 0
        self.truth += counted.sum(axis=0)
        totals = counted.cumsum(axis=0)
        if restart:
            totals[restart:] -= totals[restart]
        for bin_ in range(BINS):
            values = text(totals[:, bin_])
            self.series.append(
                series("tuneloop_feature_bin_total", values, pod=name, bin=str(bin_), revision="03ab", feature="tokens")
            )


def baseline(*, revision: str = "03ab", pods: tuple[str, ...] = ("operator-a",), minutes: int) -> list[dict[str, str]]:
    """Return what replicas of the operator show of the baseline."""
    of = {"revision": revision, "feature": "tokens"}
    found = []
    for pod in pods:
        for bin_, share in enumerate(smoothed(REFERENCE)):
            found.append(
                series("tuneloop_reference_bin_ratio", f"{float(share)!r}x{minutes}", pod=pod, bin=str(bin_), **of)
            )
        found.append(series("tuneloop_reference_samples", f"{REFERENCE.sum()}x{minutes}", pod=pod, **of))
        found.append(series("tuneloop_reference_chi_squared", f"{CHI_SQUARED}x{minutes}", pod=pod, **of))
    return found


def near(metric: str, value: float, within: float) -> dict[str, object]:
    """Return the test that a metric is within a distance of a value."""
    return {"expr": f"abs({metric} - {float(value)!r}) < bool {within}", "exp_samples": [sample(1, **OF_FEATURE)]}


@pytest.mark.parametrize("window", WINDOWS)
def test_psi_is_near_the_truth_over_two_pods_a_restart_and_a_kill(window, tmp_path):
    minutes = MINUTES[window]
    counted = Counted(minutes)
    counted.pod("a", per_minute=600 / minutes)
    counted.pod("b", per_minute=600 / minutes, restart=minutes // 3)
    counted.pod("gone", per_minute=600 / minutes, killed=minutes // 2)
    tests = [
        near(f"tuneloop:feature_psi:{window}", psi(counted.truth), 0.01),
        near(f"tuneloop:feature_samples:increase{window}", counted.truth.sum(), 0.03 * counted.truth.sum()),
    ]
    assert psi(counted.truth) > 0.1
    check_rules(
        tmp_path,
        {
            "input_series": counted.series + baseline(minutes=minutes, pods=("operator-a", "operator-b")),
            "promql_expr_test": [test | {"eval_time": f"{minutes}m"} for test in tests],
        },
    )


STEADY = [3, 1, 2, 2, 1, 2, 2, 2, 1, 4]
"""Texts a minute, by bin."""


def steady(minutes: int, **labels: str) -> list[dict[str, str]]:
    of = OF_FEATURE | labels
    return [
        series("tuneloop_feature_bin_total", f"0+{count}x{minutes}", bin=str(bin_), **of)
        for bin_, count in enumerate(STEADY)
    ]


@pytest.mark.parametrize("window", WINDOWS)
def test_the_rules_are_the_formulas(window, tmp_path):
    minutes = MINUTES[window]
    counts = np.array(STEADY) * minutes
    values = {
        f"tuneloop:feature_samples:increase{window}": counts.sum(),
        f"tuneloop:feature_psi:{window}": psi(counts),
        f"tuneloop:feature_psi_critical:{window}": CHI_SQUARED * (1 / REFERENCE.sum() + 1 / counts.sum()),
    }
    by_bin = {
        f"tuneloop:feature_bin:increase{window}": counts,
        f"tuneloop:feature_bin:ratio{window}": smoothed(counts),
    }
    tests = [near(name, value, 1e-9) for name, value in values.items()]
    for name, of_bins in by_bin.items():
        tests += [near(f'{name}{{bin="{bin_}"}}', value, 1e-9) for bin_, value in enumerate(of_bins)]
        for bin_, test in enumerate(tests[-BINS:]):
            test["exp_samples"] = [sample(1, bin=str(bin_), **OF_FEATURE)]
    check_rules(
        tmp_path,
        {
            "input_series": steady(minutes) + baseline(minutes=minutes),
            "promql_expr_test": [test | {"eval_time": f"{minutes}m"} for test in tests],
        },
    )


@pytest.mark.parametrize(
    ("given", "absent"),
    [
        pytest.param(steady(60), "tuneloop:feature_psi:1h", id="no baseline"),
        pytest.param(
            steady(60) + baseline(revision="7d1f", minutes=60), "tuneloop:feature_psi:1h", id="of another revision"
        ),
        pytest.param(baseline(minutes=60), "tuneloop:feature_psi:1h", id="no counts"),
        pytest.param(baseline(minutes=60), "tuneloop:feature_psi_critical:1h", id="no counts, no critical value"),
    ],
)
def test_without_a_baseline_or_counts_there_is_no_psi(given, absent, tmp_path):
    check_rules(
        tmp_path,
        {
            "input_series": given,
            "promql_expr_test": [{"expr": absent, "eval_time": "60m", "exp_samples": []}],
        },
    )


def test_a_quiet_hour_has_a_psi_and_no_critical_value(tmp_path):
    quiet = [series("tuneloop_feature_bin_total", "7x60", bin=str(bin_), **OF_FEATURE) for bin_ in range(BINS)]
    tests = [
        near("tuneloop:feature_psi:1h", psi(np.zeros(BINS)), 1e-9),
        {"expr": "tuneloop:feature_psi_critical:1h", "exp_samples": []},
    ]
    check_rules(
        tmp_path,
        {
            "input_series": quiet + baseline(minutes=60),
            "promql_expr_test": [test | {"eval_time": "60m"} for test in tests],
        },
    )


QUALITY = [
    *(
        series(f"tuneloop_calibrated_confidence_ratio{part}", f"0+{per_minute}x{{minutes}}", pod=pod, revision="03ab")
        for pod, sum_ in (("a", 9), ("b", 7))
        for part, per_minute in (("_sum", sum_), ("_count", 10))
    ),
    series("tuneloop_requests_total", "0+20x{minutes}", revision="03ab", reason="ok", code="200"),
    series("tuneloop_requests_total", "0+5x{minutes}", revision="03ab", reason="validation", code="422"),
    series("tuneloop_requests_total", "0+50x{minutes}", revision="03ab", reason="overloaded", code="429"),
    series("tuneloop_truncated_requests_total", "0+3x{minutes}", revision="03ab"),
]


@pytest.mark.parametrize(
    ("name", "minutes", "value"),
    [
        ("tuneloop:estimated_accuracy:ratio1h", 60, 0.8),
        pytest.param("tuneloop:estimated_accuracy:ratio24h", 1440, 0.8, marks=pytest.mark.full),
        ("tuneloop:answered_requests:increase1h", 60, 1200),
        ("tuneloop:truncated_requests:ratio1h", 60, 0.15),
        ("tuneloop:invalid_requests:ratio1h", 60, 0.2),
    ],
)
def test_quality_is_measured_without_labels(name, minutes, value, tmp_path):
    given = [found | {"values": found["values"].format(minutes=minutes)} for found in QUALITY]
    test = near(name, value, 1e-9) | {"eval_time": f"{minutes}m", "exp_samples": [sample(1, revision="03ab")]}
    check_rules(tmp_path, {"input_series": given, "promql_expr_test": [test]})


TESTED = {
    "tuneloop:feature_bin:increase1h",
    "tuneloop:feature_samples:increase1h",
    "tuneloop:feature_bin:ratio1h",
    "tuneloop:feature_psi:1h",
    "tuneloop:feature_psi_critical:1h",
    "tuneloop:estimated_accuracy:ratio1h",
    "tuneloop:answered_requests:increase1h",
    "tuneloop:truncated_requests:ratio1h",
    "tuneloop:invalid_requests:ratio1h",
}
OF_ANSWERS = {"tuneloop:answer_bin_pooled:ratio1h", "tuneloop:answer_bin:z1h"}
"""Tested in test_answer_rules.py."""
OF_AN_HOUR_ALONE = OF_ANSWERS | {name for name in TESTED if "requests" in name}


def test_every_rule_is_tested_and_those_of_a_day_are_those_of_an_hour_over_another_window():
    (group,) = [group for group in yaml.safe_load(RULES.read_text())["groups"] if group["name"] == "tuneloop-drift"]
    rules = {rule["record"]: rule["expr"] for rule in group["rules"]}
    of_an_hour = {name: expr for name, expr in rules.items() if name.endswith("1h")}
    assert of_an_hour.keys() == TESTED | OF_ANSWERS
    of_a_day = {name.replace("1h", "24h"): expr.replace("1h", "24h") for name, expr in of_an_hour.items()}
    skipped = {name.replace("1h", "24h") for name in OF_AN_HOUR_ALONE}
    assert rules.keys() - of_an_hour.keys() == of_a_day.keys() - skipped
    assert {name: rules[name] for name in of_a_day.keys() - skipped} == {
        name: of_a_day[name] for name in of_a_day.keys() - skipped
    }
