"""Which answers of Prometheus are counts of a baseline, and which are not."""

from __future__ import annotations

import pytest

from tuneloop_api.v1alpha1.model_deployment.monitoring_status import MOST_BINS, MOST_FEATURES, FeatureCounts
from tuneloop_operator.decide.model_deployment.baseline_counts import LEAST_SAMPLES, Unfit, features_in
from tuneloop_operator.prometheus.answer import Series, Vector


def vector(**counts: list[float]) -> Vector:
    """Return the answer with these counts of features, the last bin first."""
    series = [
        Series(labels={"feature": feature, "bin": str(bin_)}, value=value)
        for feature, values in counts.items()
        for bin_, value in reversed([*enumerate(values)])
    ]
    return Vector(series=tuple(series), at=0.0)


def one(**labels: str) -> Vector:
    return Vector(series=(Series(labels=labels, value=500.0),), at=0.0)


def test_counts_are_whole_numbers_by_feature_and_bin():
    found = features_in(vector(tokens=[100.4, 0.0, 99.6], confidence=[150.2, 80.3]))
    assert found == (
        FeatureCounts(name="confidence", counts=[150, 80]),
        FeatureCounts(name="tokens", counts=[100, 0, 100]),
    )


def test_a_hundred_bins_are_sorted_by_number_and_not_by_text():
    found = features_in(vector(tokens=[float(number) for number in range(30)]))
    assert found == (FeatureCounts(name="tokens", counts=[*range(30)]),)


@pytest.mark.parametrize(("texts", "enough"), [(LEAST_SAMPLES, True), (LEAST_SAMPLES - 1, False)])
def test_every_feature_needs_its_texts(texts, enough):
    found = features_in(vector(tokens=[500.0, 500.0], rare=[texts - 1.0, 1.0]))
    assert isinstance(found, tuple) is enough
    if not enough:
        assert found == Unfit(reason="TooFewSamples", message="200 texts are needed, and feature rare has 199")


def test_as_many_features_and_bins_as_the_status_takes_are_a_baseline():
    counts = {f"f{number}": MOST_BINS * [100.0] for number in range(MOST_FEATURES)}
    found = features_in(vector(**counts))
    assert isinstance(found, tuple)
    assert [len(feature.counts) for feature in found] == MOST_FEATURES * [MOST_BINS]


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        pytest.param(one(bin="0"), "a series has feature '' and bin '0'", id="no feature"),
        pytest.param(one(feature="tokens"), "a series has feature 'tokens' and bin ''", id="no bin"),
        pytest.param(one(feature="tokens", bin="first"), "and bin 'first'", id="a bin that is no number"),
        pytest.param(one(feature="tokens", bin="01"), "and bin '01'", id="a bin with two spellings"),
        pytest.param(one(feature='a"b', bin="0"), "a series has feature 'a\"b'", id="a feature that is no name"),
        pytest.param(one(feature="tokens", bin="0"), "feature tokens has 1 bins; allowed are 2 to 64", id="one bin"),
        pytest.param(vector(tokens=(MOST_BINS + 1) * [100.0]), "feature tokens has 65 bins", id="too many bins"),
        pytest.param(vector(tokens=[400.0, -1.0]), "feature tokens has a count below 0", id="a negative count"),
        pytest.param(
            vector(**{f"f{number}": [200.0, 200.0] for number in range(MOST_FEATURES + 1)}),
            "there are 17 features; a baseline has 16 at most",
            id="too many features",
        ),
        pytest.param(
            Vector(series=(*one(feature="tokens", bin="0").series, *one(feature="tokens", bin="2").series), at=0.0),
            "feature tokens lacks bin 1",
            id="a bin that is missing",
        ),
    ],
)
def test_what_no_server_counts_is_no_baseline(answer, message):
    found = features_in(answer)
    assert isinstance(found, Unfit)
    assert found.reason == "UnusableCounts"
    assert message in found.message
