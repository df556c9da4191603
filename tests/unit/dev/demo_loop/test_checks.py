"""What must hold for exit code 0."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from demo_loop.checks import checks, described
from demo_loop.events import Mark, Request
from drift_story import story_events

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from demo_loop.events import Event

RUN = {"trigger": "accuracy", "outcome": "Promoted"}
BETTER = {"verdict": "Better"}
STARTED, JUDGED, PROMOTED, BACK, ANSWERED = range(5)


def without_recovery(events: Sequence[Event]) -> list[Event]:
    """Return a story in which the new model is wrong as often as the old one was in the drift."""
    begin = next(event.at for event in events if isinstance(event, Mark) and event.name == "promoted")

    def worse(event: Event) -> Event:
        is_after = isinstance(event, Request) and event.at >= begin
        other = "negative" if isinstance(event, Request) and event.truth == "positive" else "positive"
        return replace(event, prediction=other) if is_after and event.number % 3 == 0 else event

    return [worse(event) for event in events]


def with_a_failure(events: Sequence[Event]) -> list[Event]:
    first = next(number for number, event in enumerate(events) if isinstance(event, Request))
    return [
        replace(event, prediction=None, status=503) if number == first else event for number, event in enumerate(events)
    ]


@pytest.mark.parametrize(
    ("run", "comparison", "change", "wrong"),
    [
        pytest.param(RUN, BETTER, list, set(), id="the story as it should be"),
        pytest.param(RUN | {"trigger": "manual"}, BETTER, list, {STARTED}, id="a person asked for the run"),
        pytest.param(RUN, {"verdict": "Inconclusive"}, list, {JUDGED}, id="not proven to be better"),
        pytest.param(RUN | {"outcome": "RolledBack"}, BETTER, list, {PROMOTED}, id="taken back"),
        pytest.param({}, {}, list, {STARTED, JUDGED, PROMOTED}, id="no run"),
        pytest.param(RUN, BETTER, without_recovery, {BACK}, id="accuracy did not rise again"),
        pytest.param(RUN, BETTER, with_a_failure, {ANSWERED}, id="a request failed"),
        pytest.param(RUN, BETTER, lambda _: [], {BACK, ANSWERED}, id="no traffic"),
    ],
)
def test_each_condition_is_checked(
    run: dict[str, Any], comparison: dict[str, Any], change: Callable[[list[Event]], list[Event]], wrong: set[int]
) -> None:
    found = list(checks(change(story_events()), run, comparison, trigger="accuracy"))
    assert {number for number, check in enumerate(found) if not check.holds} == wrong


def test_what_was_found_has_the_numbers() -> None:
    *_, back, answered = checks(story_events(), RUN, BETTER, trigger="accuracy")
    assert "in the drift" in back.found
    assert re.search(r"points \(\+[0-9.]+ to \+[0-9.]+\)$", back.found)
    assert answered.found == "0 of 4200 failed"
    assert described(None) == "none"
