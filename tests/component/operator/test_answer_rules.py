"""The recording rules about generated answers by the real promtool: they are the test of two proportions."""

from __future__ import annotations

import math

import pytest
from rule_series import check_rules, sample, series

MINUTES = 60
OPERATORS = ("operator-a", "operator-b")


def smoothed(counts: list[int]) -> list[float]:
    """Return the shares of bins, by Laplace with 0.5."""
    return [(count + 0.5) / (sum(counts) + 0.5 * len(counts)) for count in counts]


def answered(per_minute: list[int], before: list[int], *, feature: str) -> list[dict[str, str]]:
    """Return what two servers count, and two replicas of the operator show of the baseline."""
    of = {"revision": "03ab", "feature": feature}
    found = []
    for pod in ("a", "b"):
        for bin_, count in enumerate(per_minute):
            values = f"0+{count}x{MINUTES}"
            found.append(series("tuneloop_feature_bin_total", values, pod=pod, bin=str(bin_), **of))
    for pod in OPERATORS:
        for bin_, share in enumerate(smoothed(before)):
            values = f"{share!r}x{MINUTES}"
            found.append(series("tuneloop_reference_bin_ratio", values, pod=pod, bin=str(bin_), **of))
        found.append(series("tuneloop_reference_samples", f"{sum(before)}x{MINUTES}", pod=pod, **of))
    return found


@pytest.mark.parametrize(
    ("feature", "per_minute", "before"),
    [
        pytest.param("finish_reason", [2, 7, 1], [100, 850, 50], id="more are cut"),
        pytest.param("answer_kind", [1, 0, 2, 7], [90, 5, 200, 705], id="as many repeat"),
        pytest.param("answer_kind", [0, 0, 1, 9], [0, 0, 400, 600], id="fewer repeat"),
    ],
)
def test_z_is_that_of_two_proportions_with_a_pooled_share(feature, per_minute, before, tmp_path):
    counts = [2 * count * MINUTES for count in per_minute]
    tests = []
    for bin_, (now, then) in enumerate(zip(smoothed(counts), smoothed(before), strict=True)):
        pooled = (now * sum(counts) + then * sum(before)) / (sum(counts) + sum(before))
        deviation = math.sqrt(pooled * (1 - pooled) * (1 / sum(counts) + 1 / sum(before)))
        for name, value in (("answer_bin_pooled:ratio1h", pooled), ("answer_bin:z1h", (now - then) / deviation)):
            labels = {"revision": "03ab", "feature": feature, "bin": str(bin_)}
            expr = f'abs(tuneloop:{name}{{bin="{bin_}"}} - {value!r}) < bool 1e-9'
            tests.append({"expr": expr, "eval_time": f"{MINUTES}m", "exp_samples": [sample(1, **labels)]})
    given = answered(per_minute, before, feature=feature)
    check_rules(tmp_path, {"input_series": given, "promql_expr_test": tests})


def test_other_features_have_no_z(tmp_path):
    given = answered([1, 9], [400, 600], feature="truncated")
    nothing = {"expr": "tuneloop:answer_bin:z1h", "eval_time": f"{MINUTES}m", "exp_samples": []}
    check_rules(tmp_path, {"input_series": given, "promql_expr_test": [nothing]})
