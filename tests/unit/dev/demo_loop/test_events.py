"""Events as lines of JSON, and the live line about them."""

from __future__ import annotations

import io

from demo_loop.events import Feedback, Mark, Request, from_lines, to_line
from demo_loop.live_line import LiveLine

REQUEST = Request(
    number=3, at=100.0, domain="tweets", truth="negative", prediction="positive", score=0.8, revision="reviews-1",
    status=200, milliseconds=7.5, repeated=False,
)  # fmt: skip
FEEDBACK = Feedback(number=3, at=105.0, label="negative", correct=False, wrong_on_purpose=False, status=200)
MARK = Mark(at=101.0, name="turn", text="traffic turns: “tweets”")


def request(at: float, **fields: object) -> Request:
    return Request(**(vars(REQUEST) | {"at": at} | fields))


def written(*events: Request | Feedback | Mark) -> list[str]:
    out = io.StringIO()
    live = LiveLine(out, began=100.0)
    for event in events:
        live.add(event)
    live.end()
    return out.getvalue().splitlines()


def test_events_come_back_from_their_lines() -> None:
    assert from_lines(map(to_line, [REQUEST, MARK, FEEDBACK])) == [REQUEST, MARK, FEEDBACK]


def test_a_line_that_a_kill_cut_off_is_left_out() -> None:
    assert from_lines([to_line(MARK), to_line(REQUEST)[:-5]]) == [MARK]


def test_the_live_line_counts_the_last_minute_alone() -> None:
    wrong = [request(100.0 + second) for second in range(10)]
    right = [request(165.0 + second, prediction="negative") for second in range(6)]
    assert "right in the last minute: 100.0% of 6" in written(*wrong, *right)[-1]


def test_the_live_line_counts_domains_labels_and_failures() -> None:
    events = [request(100.0), request(101.0, domain="movies"), request(102.0, prediction=None, status=503), FEEDBACK]
    (line,) = written(*events)
    assert "tweets 2  movies 1" in line
    assert "50.0%" not in line
    assert "labels 1  failed 1" in line


def test_a_mark_has_a_line_of_its_own_at_once() -> None:
    assert written(request(100.0), MARK)[0] == "     1 s  traffic turns: “tweets”"


def test_without_a_terminal_a_line_comes_every_ten_seconds() -> None:
    assert len(written(*(request(100.0 + second) for second in range(35)))) == 3 + 1
