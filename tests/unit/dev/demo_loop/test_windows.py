"""The numbers of the page: rates, accuracy by minute, and the rows of its table."""

from __future__ import annotations

import pytest
from demo_loop.events import Feedback, Mark, Request
from demo_loop.windows import LEAST_ROWS, accuracy_windows, periods, rates

BEGAN = 1000.0


def request(seconds: float, *, right: bool = True, number: int | None = None, **fields: object) -> Request:
    values = {
        "number": round(seconds * 10) if number is None else number,
        "at": BEGAN + seconds,
        "domain": "movies",
        "truth": "positive",
        "prediction": "positive" if right else "negative",
        "score": 0.9,
        "revision": "old",
        "status": 200,
        "milliseconds": 5.0,
        "repeated": False,
    }
    return Request(**(values | fields))


def label(of: Request, text: str = "positive", status: int = 200) -> Feedback:
    return Feedback(
        number=of.number,
        at=of.at + 100,
        label=text,
        correct=text == of.prediction,
        wrong_on_purpose=False,
        status=status,
    )


def stretch(begin: float, *, rows: int, right: int, **fields: object) -> list[Request]:
    """Return so many requests within half a minute, of which the first `right` are right."""
    return [request(begin + row * 30 / rows, right=row < right, **fields) for row in range(rows)]


def test_rates_count_by_key_and_have_zeros_between() -> None:
    events = [request(0), request(1), request(2, domain="tweets"), request(25), request(31)]
    assert rates(events, lambda found: found.domain, seconds=10) == {
        "movies": [(BEGAN + 5, 0.2), (BEGAN + 15, 0.0), (BEGAN + 25, 0.1)],
        "tweets": [(BEGAN + 5, 0.1), (BEGAN + 15, 0.0), (BEGAN + 25, 0.0)],
    }


def test_a_window_has_the_requests_of_its_minute() -> None:
    events = [*stretch(0, rows=30, right=30), *stretch(60, rows=20, right=5)]
    found = accuracy_windows(events, by_feedback=False)
    assert [(window.begin - BEGAN, window.accuracy.value, window.accuracy.rows) for window in found] == [
        (0, 1.0, 30),
        (60, 0.25, 20),
    ]


@pytest.mark.parametrize(
    "left_out",
    [
        pytest.param({"prediction": None, "status": 503}, id="no good answer"),
        pytest.param({"repeated": True}, id="a text that was sent before"),
    ],
)
def test_what_says_nothing_of_accuracy_is_left_out(left_out: dict) -> None:
    events = [request(0), request(1, right=False, **left_out)]
    assert accuracy_windows(events, by_feedback=False)[0].accuracy.rows == 1


def test_a_label_counts_in_the_minute_of_its_request_however_late_it_came() -> None:
    asked = request(10)
    (window,) = accuracy_windows([request(0), asked, request(70), label(asked)], by_feedback=True)
    assert (window.begin, window.accuracy.rows) == (BEGAN, 1)


def test_by_feedback_the_label_decides_and_not_the_truth() -> None:
    asked = request(10, right=True)
    (window,) = accuracy_windows([asked, label(asked, "negative")], by_feedback=True)
    assert window.accuracy.value == 0.0


def test_a_label_that_the_server_refused_does_not_count() -> None:
    asked = request(10)
    assert accuracy_windows([asked, label(asked, status=400)], by_feedback=True) == []


def test_the_table_has_the_model_before_and_after() -> None:
    events = [
        *stretch(0, rows=40, right=36),
        Mark(at=BEGAN + 60, name="turn", text=""),
        *stretch(60, rows=40, right=20),
        *stretch(120, rows=40, right=24),
        *stretch(150, rows=10, right=10, revision="new"),
        Mark(at=BEGAN + 200, name="promoted", text=""),
        *stretch(240, rows=50, right=45, revision="new"),
    ]
    assert [(row.name, row.true.value, row.true.rows) for row in periods(events)] == [
        ("before the drift", 0.9, 40),
        ("drift, the model from before", 0.55, 80),
        ("the lowest of 2 minutes of drift", 0.5, 40),
        ("after the promotion", 0.9, 50),
    ]


def test_a_minute_with_few_rows_is_not_the_lowest() -> None:
    events = [
        *stretch(0, rows=40, right=40),
        Mark(at=BEGAN + 60, name="turn", text=""),
        *stretch(60, rows=40, right=30),
        *stretch(120, rows=LEAST_ROWS - 1, right=0),
    ]
    assert periods(events)[-1].true.value == 0.75


def test_without_a_turn_there_is_one_row() -> None:
    assert [row.name for row in periods([request(0)])] == ["before the drift"]


def test_a_period_without_requests_is_empty_and_not_zero() -> None:
    rows = periods([request(0), Mark(at=BEGAN + 60, name="turn", text="")])
    assert rows[1].true is None
