"""The largest of many numbers are those that sorting all of them puts first."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tuneloop_server.tasks.largest import largest

NUMBERS = st.lists(st.sampled_from([-np.inf, -1.5, 0.0, 2.0]) | st.floats(-9, 9, width=32), min_size=1, max_size=30)


@given(NUMBERS, st.integers(1, 35))
def test_the_largest_come_first_and_of_equal_ones_the_earlier(numbers, most):
    values = np.array(numbers, dtype=np.float32)
    expected = sorted(range(len(numbers)), key=lambda place: (-values[place], place))[:most]
    assert largest(values, most).tolist() == expected
