"""Progress writes of all jobs together keep to a pace."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from tuneloop_operator.controller.rate_limiter import RateLimiter

START = datetime(2026, 1, 1, tzinfo=UTC)


@given(st.lists(st.floats(0, 0.3), min_size=30, max_size=200))
def test_no_second_has_more_than_its_share_and_the_one_before(gaps: list[float]) -> None:
    pace, now, let_through = RateLimiter(per_second=5), START, []
    for gap in gaps:
        now += timedelta(seconds=gap)
        if pace.wait(now) == 0:
            let_through.append(now)
    for first in let_through:
        assert sum(first <= one < first + timedelta(seconds=1) for one in let_through) <= 10


def test_one_who_waits_as_told_is_let_through() -> None:
    pace, now = RateLimiter(per_second=5), START
    for _ in range(50):
        if (wait := pace.wait(now)) > 0:
            now += timedelta(seconds=wait)
            assert pace.wait(now) == 0
    assert (now - START).total_seconds() > 5


def test_a_clock_that_is_set_back_holds_nobody_up() -> None:
    pace = RateLimiter(per_second=5)
    while pace.wait(START) == 0:
        pass
    earlier = START - timedelta(hours=2)
    wait = pace.wait(earlier)
    assert wait <= 0.2
    assert pace.wait(earlier + timedelta(seconds=wait)) == 0
