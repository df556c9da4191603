"""The limits of the difference of two shares on the same rows."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from tuneloop_api.statistics.paired import lower_limit_of_difference, upper_limit_of_difference

COUNTS = st.integers(0, 200)
ROWS = st.integers(400, 2_000)


@given(COUNTS, COUNTS, ROWS)
def test_to_swap_the_two_mirrors_the_limits(first, second, rows):
    mirrored = lower_limit_of_difference(second, first, rows, 0.05)
    assert upper_limit_of_difference(first, second, rows, 0.05) == pytest.approx(-mirrored)


@given(COUNTS, COUNTS, ROWS)
def test_limits_enclose_the_difference(first, second, rows):
    difference = (first - second) / rows
    low, high = (limit(first, second, rows, 0.05) for limit in (lower_limit_of_difference, upper_limit_of_difference))
    assert low < difference < high


@given(COUNTS, COUNTS, ROWS)
def test_a_limit_grows_with_the_rows_of_the_first_and_falls_with_those_of_the_second(first, second, rows):
    limit = lower_limit_of_difference(first, second, rows, 0.05)
    assert lower_limit_of_difference(first + 1, second, rows, 0.05) > limit
    assert lower_limit_of_difference(first, second + 1, rows, 0.05) < limit


@given(COUNTS, COUNTS, ROWS)
def test_a_stricter_level_moves_the_limit_away(first, second, rows):
    assert lower_limit_of_difference(first, second, rows, 0.01) < lower_limit_of_difference(first, second, rows, 0.05)


@pytest.mark.parametrize("rows", [20, 40])
@pytest.mark.parametrize(("first", "second"), [(0.05, 0.05), (0.1, 0.02), (0.02, 0.1), (0.3, 0.3)])
def test_the_limit_exceeds_the_true_difference_no_more_often_than_its_level(rows, first, second):
    exceeded = sum(
        stats.multinomial.pmf([a, b, rows - a - b], rows, [first, second, 1 - first - second])
        for a, b in itertools.product(range(rows + 1), repeat=2)
        if a + b <= rows and lower_limit_of_difference(a, b, rows, 0.05) > first - second
    )
    assert exceeded <= 0.05
