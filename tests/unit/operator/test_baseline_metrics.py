"""The metrics of baselines: shares by bin, texts, and the quantile of χ², from what the status holds."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families
from scipy.stats import chi2

from tuneloop_api.v1alpha1.model_deployment.monitoring_status import MOST_BINS, MOST_FEATURES
from tuneloop_operator.controller.controllers import metrics_of, new_store
from tuneloop_operator.metrics.baselines import MOST_SERIES_OF_BASELINE
from tuneloop_operator.metrics.chi_squared import critical_chi_squared

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
OF = {"namespace": "team-a", "deployment": "reviews", "revision": "03ab11f0"}


def series(*features: tuple[str, list[int]], revision: str = "03ab11f0") -> dict[tuple[str, ...], float]:
    """Return the series of a deployment with this baseline, by metric, feature and bin."""
    found: list[dict[str, Any]] = [{"name": name, "counts": counts} for name, counts in features]
    baseline = {"revision": revision, "from": "2026-01-01T00:00:00Z", "to": "2026-01-02T00:00:00Z", "features": found}
    store = new_store()
    store.put(
        {
            "apiVersion": "tuneloop.dev/v1alpha1",
            "kind": "ModelDeployment",
            "metadata": {"namespace": "team-a", "name": "reviews", "uid": "u", "resourceVersion": "1"},
            "spec": {},
            "status": {"monitoring": {"revision": revision, "baseline": baseline}},
        }
    )
    samples = [
        sample
        for family in text_string_to_metric_families(metrics_of(store, now=NOW))
        for sample in family.samples
        if sample.name.startswith("tuneloop_reference_")
    ]
    assert all(OF.items() <= sample.labels.items() for sample in samples)
    return {
        (
            sample.name.removeprefix("tuneloop_reference_"),
            *(sample.labels[label] for label in ("feature", "bin") if label in sample.labels),
        ): sample.value
        for sample in samples
    }


def test_a_baseline_has_its_shares_its_texts_and_its_quantile():
    found = series(("tokens", [300, 0, 700]))
    assert found == {
        ("bin_ratio", "tokens", "0"): pytest.approx(300.5 / 1001.5),
        ("bin_ratio", "tokens", "1"): pytest.approx(0.5 / 1001.5),
        ("bin_ratio", "tokens", "2"): pytest.approx(700.5 / 1001.5),
        ("samples", "tokens"): 1000.0,
        ("chi_squared", "tokens"): pytest.approx(9.21034, abs=1e-5),
    }


@given(st.lists(st.integers(0, 10**9), min_size=2, max_size=MOST_BINS))
def test_shares_are_above_0_and_sum_to_1(counts):
    found = series(("tokens", counts))
    shares = [found["bin_ratio", "tokens", str(number)] for number in range(len(counts))]
    assert min(shares) > 0
    assert sum(shares) == pytest.approx(1, abs=1e-12)


def test_each_feature_has_its_own():
    found = series(("tokens", [100, 200]), ("confidence", [5, 5, 290]))
    assert (found["samples", "tokens"], found["samples", "confidence"]) == (300.0, 300.0)
    assert found["chi_squared", "confidence"] > found["chi_squared", "tokens"]


@pytest.mark.parametrize("degrees", range(1, MOST_BINS))
def test_the_quantile_is_that_of_scipy(degrees):
    assert critical_chi_squared(degrees) == pytest.approx(chi2.ppf(0.99, degrees), rel=1e-12)


def test_psi_of_equal_samples_is_beyond_the_critical_value_once_in_a_hundred():
    random, bins, then, now = np.random.default_rng(7), 10, 5000, 1000
    shares = np.full(bins, 1 / bins)
    first, second = ((random.multinomial(texts, shares, 20_000) + 0.5) / (texts + 0.5 * bins) for texts in (then, now))
    psi = ((second - first) * np.log(second / first)).sum(axis=1)
    critical = critical_chi_squared(bins - 1) * (1 / then + 1 / now)
    assert (psi > critical).mean() == pytest.approx(0.01, abs=0.003)


def test_a_deployment_has_no_more_series_than_the_limit_whatever_its_status_holds():
    names = [f"f{number}" for number in range(2 * MOST_FEATURES)]
    assert len(series(*((name, MOST_BINS * [9]) for name in names))) == MOST_SERIES_OF_BASELINE
    assert series(("tokens", (MOST_BINS + 1) * [9]), ("one", [9])) == {}


@pytest.mark.parametrize("text", ['a"b', "a\nb", "{}", "Ä", 80 * "a", ""])
def test_a_text_that_is_no_name_becomes_no_label(text):
    assert series((text, [100, 200])) == {}
    assert series(("tokens", [100, 200]), revision=text) == {}
