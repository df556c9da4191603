"""Bins: where edges lie, in which bin a value falls, and which profiles a server cannot count with."""

from __future__ import annotations

import math
from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from tuneloop_api.contract.monitoring_profile import FeatureProfile, MonitoringProfile
from tuneloop_api.features.bins import (
    MOST_BINS,
    QUANTILES,
    NumberBins,
    UnusableProfile,
    choice_bins,
    number_bins,
    usable_bins,
)

NUMBERS = st.one_of(
    st.integers(0, 10**9).map(float),
    st.integers(0, 12).map(float),
    st.floats(-1e9, 1e9, allow_nan=False),
    st.floats(0, 1, allow_nan=False),
)


def counts_of(bins, values) -> list[int]:
    counted = Counter(map(bins.index, values))
    return [counted[place] for place in range(bins.size)]


@pytest.mark.parametrize(
    ("values", "edges"),
    [
        pytest.param(range(1, 101), (10.5, 20.5, 30.5, 40.5, 50.5, 60.5, 70.5, 80.5, 90.5), id="tenths"),
        pytest.param([0, 1], (0.5,), id="two values"),
        pytest.param([3, 4, 5, 5], (3.5, 4.5), id="three values"),
        pytest.param([0] * 98 + [0.25, 0.5], (0.125,), id="nearly all are the smallest"),
        pytest.param([4, 6] + [16] * 98, (11.0,), id="nearly all are the largest"),
        pytest.param([0] * 7, (-1e-6, 1e-6), id="one value, 0"),
        pytest.param([512] * 7, (512 - 512e-6, 512 + 512e-6), id="one value, large"),
        pytest.param([0.9, 0.9 + 1e-8], (0.9 - 1e-6, 0.9 + 1e-6), id="values within rounding are one"),
    ],
)
def test_edges_divide_the_reference_into_tenths_or_into_its_distinct_values(values, edges):
    assert number_bins(list(map(float, values))).edges == pytest.approx(edges, abs=1e-12)


def test_a_value_on_an_edge_is_below_it():
    bins = NumberBins(edges=(1.0, 2.0))
    assert [bins.index(value) for value in (-math.inf, 1.0, 1.5, 2.0, 2.5, math.inf)] == [0, 0, 1, 1, 2, 2]


def test_one_repeated_value_has_a_bin_of_its_own_between_what_is_less_and_more():
    bins = number_bins([16.0] * 5)
    assert counts_of(bins, [15, 16, 16, 17]) == [1, 2, 1]


@given(st.lists(NUMBERS, min_size=1, max_size=200))
def test_edges_ascend_and_there_are_at_most_ten_bins(values):
    edges = number_bins(values).edges
    assert all(low < high for low, high in pairwise(edges))
    assert 1 <= len(edges) <= QUANTILES - 1


@given(st.lists(NUMBERS, min_size=1, max_size=200))
def test_no_bin_of_a_feature_that_varies_is_empty(values):
    if len({round(value, 6) for value in values}) > 1:
        assert min(counts_of(number_bins(values), [round(value, 6) for value in values])) > 0


@given(st.sets(st.integers(-(10**6), 10**6), min_size=20, max_size=400))
def test_bins_of_distinct_values_hold_a_tenth_each_up_to_a_value(values):
    counts = counts_of(number_bins(list(map(float, values))), values)
    assert len(counts) == QUANTILES
    assert max(counts) - min(counts) <= 2


@given(st.lists(NUMBERS, min_size=1, max_size=60), st.randoms(use_true_random=False))
def test_edges_do_not_depend_on_the_order_of_the_rows(values, source):
    shuffled = values.copy()
    source.shuffle(shuffled)
    assert number_bins(shuffled) == number_bins(values)


@given(st.lists(st.integers(0, 1000), min_size=2, max_size=100))
def test_rounding_moves_no_row_to_another_bin(values):
    ratios = [value / 1000 for value in values]
    bins = number_bins(ratios)
    for value in ratios:
        assert {bins.index(value - 4e-7), bins.index(value + 4e-7)} == {bins.index(value)}


@given(st.lists(NUMBERS, min_size=1, max_size=60), NUMBERS)
def test_every_number_has_a_bin(values, value):
    bins = number_bins(values)
    assert 0 <= bins.index(value) < bins.size


@pytest.mark.parametrize(
    ("labels", "size", "other"), [(1, 1, False), (50, 50, False), (51, 51, True), (1000, 51, True)]
)
def test_labels_beyond_fifty_have_one_bin_together(labels, size, other):
    bins = choice_bins([f"label {number}" for number in range(labels)])
    assert (bins.size, bins.has_other) == (size, other)
    assert bins.index(f"label {labels - 1}") == size - 1


def profile_of(*features: FeatureProfile) -> MonitoringProfile:
    return MonitoringProfile(
        task="text-classification", labels=["a", "b"], temperature=1.0, split="test", rows=3, features=list(features)
    )


def numbers(edges: list[float], *, name: str = "entropy", counts: list[int] | None = None) -> FeatureProfile:
    return FeatureProfile(name=name, edges=edges, counts=[1] * (len(edges) + 1) if counts is None else counts)


def choices(categories: list[str], counts: list[int], **more) -> FeatureProfile:
    return FeatureProfile(name="predicted_label", categories=categories, counts=counts, **more)


def test_a_good_profile_gives_bins_by_feature():
    bins = usable_bins(profile_of(numbers([0.1, 0.9]), choices(["a"], [2, 1], has_other=True)))
    assert {name: found.size for name, found in bins.items()} == {"entropy": 3, "predicted_label": 2}


@pytest.mark.parametrize(
    ("features", "problem"),
    [
        ([numbers([])], r"features\[0\]\.edges: \[\]… are not ascending numbers, example: \[0\.5, 0\.9\]"),
        ([numbers([0.5, 0.5])], r"features\[0\]\.edges: \[0\.5, 0\.5\]… are not ascending"),
        ([numbers([0.1]), numbers([0.9, 0.1], name="b")], r"features\[1\]\.edges: \[0\.9, 0\.1\]… are not ascending"),
        ([numbers([0.1], counts=[1])], r"features\[0\]\.counts: 1 numbers for 2 bins"),
        ([numbers([0.1], counts=[1, -1])], r"features\[0\]\.counts: .*at least 0"),
        ([numbers([0.1]), numbers([0.1])], r"features\[1\]\.name: 'entropy' is there twice"),
        ([choices([], [])], r"features\[0\]\.categories: expected at least one name"),
        ([choices(["a", "a"], [1, 1])], r"features\[0\]\.categories: .*none twice"),
        ([choices(["a", "b"], [1, 1], has_other=True)], r"features\[0\]\.counts: 2 numbers for 3 bins"),
        ([choices(["a"], [1], edges=[1.0])], r"features\[0\]: expected either edges or categories"),
        ([FeatureProfile(name="x", counts=[1])], r"features\[0\]: expected either edges or categories"),
        ([numbers([float(edge) for edge in range(10**6)])], rf"have 1000001 bins, at most {MOST_BINS} are allowed"),
        ([numbers([0.5], name=f"f{number}") for number in range(101)], r"have 202 bins, at most 200 are allowed"),
    ],
)
def test_a_profile_that_cannot_be_counted_with_is_refused_by_field(features, problem):
    with pytest.raises(UnusableProfile, match=problem):
        usable_bins(profile_of(*features))


def test_as_many_bins_as_are_allowed_are_used():
    features = [numbers([0.5], name=f"f{number}") for number in range(MOST_BINS // 2)]
    assert len(usable_bins(profile_of(*features))) == MOST_BINS // 2


@pytest.mark.parametrize("edge", [math.nan, math.inf, "0.5", None])
def test_an_edge_that_is_no_finite_number_is_no_message(edge):
    with pytest.raises(ValidationError, match="edges"):
        FeatureProfile.from_wire({"name": "entropy", "edges": [edge], "counts": [1, 1]})


def test_fields_of_a_later_release_are_ignored():
    wire = profile_of(numbers([0.5])).to_wire()
    wire["drift"] = wire["features"][0]["sketch"] = {"kind": "t-digest"}
    assert MonitoringProfile.from_wire(wire) == profile_of(numbers([0.5]))
