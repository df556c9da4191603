"""The rate of the progress writes of all jobs together is limited."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from tuneloop_operator.controller.rate_limiter import RateLimiter

START = datetime(2026, 1, 1, tzinfo=UTC)


@settings(deadline=None)  # a busy machine takes seconds for an example
@given(st.lists(st.floats(0, 0.3), min_size=30, max_size=100))
def test_no_second_has_more_than_its_share_and_the_one_before(gaps: list[float]) -> None:
    limiter, now, allowed = RateLimiter(per_second=5), START, []
    for gap in gaps:
        now += timedelta(seconds=gap)
        if limiter.wait(now) == 0:
            allowed.append(now)
    for first in allowed:
        assert sum(first <= time < first + timedelta(seconds=1) for time in allowed) <= 10


def test_a_write_is_allowed_after_the_returned_wait() -> None:
    limiter, now = RateLimiter(per_second=5), START
    for _ in range(50):
        if (wait := limiter.wait(now)) > 0:
            now += timedelta(seconds=wait)
            assert limiter.wait(now) == 0
    assert (now - START).total_seconds() > 5


def test_a_clock_that_is_set_back_delays_no_write() -> None:
    limiter = RateLimiter(per_second=5)
    while limiter.wait(START) == 0:
        pass
    earlier = START - timedelta(hours=2)
    wait = limiter.wait(earlier)
    assert wait <= 0.2
    assert limiter.wait(earlier + timedelta(seconds=wait)) == 0
