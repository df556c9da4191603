"""How far back a query looks."""

from __future__ import annotations

import pytest

from tuneloop_operator.errors import InvalidQuery
from tuneloop_operator.prometheus.look_back import look_back

RATE = 'sum(rate(tuneloop_requests_total{revision="{{revision}}"}'


@pytest.mark.parametrize(
    ("query", "seconds"),
    [
        ("up", 0),
        ("", 0),
        (f"{RATE}[5m]))", 300),
        (f"{RATE}[1h30m]))", 5400),
        (f"{RATE}[ 2m ]))", 120),
        (f"{RATE}[90]))", 90),
        (f"{RATE}[500ms]))", 0.5),
        ("rate(a[1m]) / rate(b[5m])", 300),
        ("max_over_time(rate(a[5m])[10m:1m])", 900),
        ("max_over_time(rate(a[5m])[10m:])", 900),
        ("max_over_time(a[10m:1m])", 600),
        ('up{slice="[1d]"}', 0),
        ("up{slice=`[x`} # [1d] and [", 0),
        ("rate(a[1m] offset 1w)", 60),
        ("rate(a[1m] @ 1609746000)", 60),
    ],
)
def test_a_query_looks_back_as_far_as_its_windows(query, seconds):
    assert look_back(query) == seconds


@pytest.mark.parametrize("window", ["$__rate_interval", "5mm", "-5m", "0s", "", "5m:1m:1m", "m5"])
def test_a_window_that_is_no_duration_is_refused(window):
    with pytest.raises(InvalidQuery, match=r"the query has .*for example \[5m\]"):
        look_back(f"rate(a[{window}])")


@pytest.mark.parametrize("query", ["rate(a[5m", "rate(a[[5m]])"])
def test_a_window_without_an_end_is_refused(query):
    with pytest.raises(InvalidQuery, match=r"the query has \[ without an end"):
        look_back(query)
