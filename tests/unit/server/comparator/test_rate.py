"""How many requests may begin in a second."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuneloop_server.comparator.rate import Rate


@given(steps=st.lists(st.floats(0, 2), max_size=200), per_second=st.sampled_from([0.5, 1.0, 5.0, 50.0]))
def test_never_more_begin_than_the_rate_allows_and_one_burst(steps, per_second):
    rate, now, taken = Rate(per_second), 100.0, 0
    for step in steps:
        now += step
        taken += rate.takes(now)
    assert taken <= max(1, per_second) + per_second * (now - 100.0) + 1e-6


@pytest.mark.parametrize("per_second", [0.5, 1.0, 50.0])
def test_a_steady_stream_at_the_rate_is_taken_whole(per_second):
    rate = Rate(per_second)
    assert all(rate.takes(count / per_second) for count in range(200))


@pytest.mark.parametrize("per_second", [0.5, 3.0])
def test_who_waits_as_long_as_it_says_is_let_through(per_second):
    rate, now = Rate(per_second), 0.0
    while rate.takes(now):
        pass
    now += rate.wait(now)
    assert rate.takes(now + 1e-9)
