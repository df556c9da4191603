"""Numbers of the page from events: requests a second, accuracy by minute, and accuracy before, during and after the drift."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from demo_loop.accuracy import Accuracy, accuracy_of
from demo_loop.events import Feedback, Mark, Request

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from demo_loop.events import Event

MINUTE = 60.0
BEFORE, DURING, WORST, AFTER = (
    "before the drift",
    "drift, the model from before",
    "the lowest of",
    "after the promotion",
)
"""How the names of periods begin."""
LEAST_ROWS = 20
"""Of a minute that may be the worst one. Of fewer rows any accuracy can be chance."""


@dataclass(frozen=True, kw_only=True)
class Window:
    """Accuracy of the requests of a stretch of time."""

    begin: float
    end: float
    accuracy: Accuracy


@dataclass(frozen=True, kw_only=True)
class Period:
    """A row of the table."""

    name: str
    true: Accuracy | None
    """Of all answered requests, by their true labels; None: there are none."""
    by_feedback: Accuracy | None
    """Of those whose label came back, by that label."""


def requests_of(events: Iterable[Event]) -> list[Request]:
    """Return the requests, in the order in which they were sent."""
    return sorted((event for event in events if isinstance(event, Request)), key=lambda request: request.number)


def marks_of(events: Iterable[Event]) -> list[Mark]:
    """Return the marks, oldest first."""
    return sorted((event for event in events if isinstance(event, Mark)), key=lambda mark: mark.at)


def rates(
    requests: Sequence[Request], key: Callable[[Request], str], *, seconds: float
) -> dict[str, list[tuple[float, float]]]:
    """Return requests per second by key: (middle of a window, rate), with a 0 where a key has none. The last window, which is not full, is left out."""
    if not requests:
        return {}
    began = requests[0].at
    last = int((requests[-1].at - began) // seconds)
    counts: dict[str, list[int]] = {}
    for request in requests:
        number = int((request.at - began) // seconds)
        if number < last:
            counts.setdefault(key(request), [0] * last)[number] += 1
    return {
        name: [(began + (number + 0.5) * seconds, count / seconds) for number, count in enumerate(found)]
        for name, found in counts.items()
    }


def accuracy_windows(events: Sequence[Event], *, by_feedback: bool, seconds: float = MINUTE) -> list[Window]:
    """Return the accuracy of each window that has an answer, by the time of the request. A text that was sent before is left out."""
    requests = requests_of(events)
    if not requests:
        return []
    began = requests[0].at
    found: dict[int, list[bool]] = {}
    for request, right in judged(events, by_feedback=by_feedback):
        found.setdefault(int((request.at - began) // seconds), []).append(right)
    return [
        Window(
            begin=began + number * seconds,
            end=began + (number + 1) * seconds,
            accuracy=_plain(found[number]),
        )
        for number in sorted(found)
    ]


def periods(events: Sequence[Event]) -> list[Period]:
    """Return the rows of the table. The drift begins at the mark `turn`, and ends at the mark `promoted`; till then only the model from before the drift counts."""
    turned, promoted = _time_of(events, "turn"), _time_of(events, "promoted")
    before = _period(BEFORE, events, until=turned)
    if turned is None:
        return [before]
    old = next((request.revision for request in reversed(requests_of(events)) if request.at < turned), None)
    during = _period(DURING, events, since=turned, until=promoted, revision=old)
    rows = [before, during, *_worst(events, since=turned, until=promoted)]
    if promoted is not None:
        rows.append(_period(AFTER, events, since=promoted))
    return rows


def period_of(events: Sequence[Event], name: str) -> Accuracy | None:
    """Return the accuracy by the true labels of the period whose name begins so; None without one, or without rows."""
    return next((period.true for period in periods(events) if period.name.startswith(name)), None)


def judged(events: Sequence[Event], *, by_feedback: bool) -> list[tuple[Request, bool]]:
    """Return answered requests whose text was new, and whether the answer was right: by the truth, or by the label that came back and was taken."""
    labels = {event.number: event.label for event in events if isinstance(event, Feedback) and event.status == 200}
    return [
        (request, request.prediction == (labels[request.number] if by_feedback else request.truth))
        for request in requests_of(events)
        if request.prediction is not None and not request.repeated and (not by_feedback or request.number in labels)
    ]


def _period(
    name: str,
    events: Sequence[Event],
    *,
    since: float | None = None,
    until: float | None = None,
    revision: str | None = None,
) -> Period:
    first, last = since or float("-inf"), until or float("inf")
    true, by_feedback = (
        [
            right
            for request, right in judged(events, by_feedback=source)
            if first <= request.at < last and revision in {None, request.revision}
        ]
        for source in (False, True)
    )
    return Period(
        name=name,
        true=_plain(true) if true else None,
        by_feedback=_plain(by_feedback) if by_feedback else None,
    )


def _worst(events: Sequence[Event], *, since: float, until: float | None) -> list[Period]:
    """Return the minute of the drift with the lowest accuracy. It is the lowest of several, and so partly chance: the table says of how many."""
    minutes = [
        window
        for window in accuracy_windows(events, by_feedback=False)
        if window.begin >= since and (until is None or window.end <= until) and window.accuracy.rows >= LEAST_ROWS
    ]
    if not minutes:
        return []
    worst = min(minutes, key=lambda window: window.accuracy.value)
    return [_period(f"{WORST} {len(minutes)} minutes of drift", events, since=worst.begin, until=worst.end)]


def _time_of(events: Sequence[Event], name: str) -> float | None:
    return next((mark.at for mark in marks_of(events) if mark.name == name), None)


def _plain(right: list[bool]) -> Accuracy:
    """Return the accuracy of rows that are all on their own."""
    return accuracy_of(right, [str(number) for number in range(len(right))])
