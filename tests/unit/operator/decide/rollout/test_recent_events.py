"""Events in the memory of a roll-out: the newest ones, as short as an Event is, and reported again for as long as the API server keeps them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tuneloop_operator.decide.decision import Event
from tuneloop_operator.decide.model_deployment.rollout.memory import written
from tuneloop_operator.decide.model_deployment.rollout.recent_events import events_to_report, timed, with_events
from tuneloop_operator.decide.model_deployment.rollout.state import Rollout, Split, Strategy

NOW = datetime(2026, 1, 1, 12, 0, 0, 900_000, tzinfo=UTC)
PLAIN = Rollout(strategy=Strategy.CANARY, stable="1234", split=Split(generation=1, weights=(("1234", 100),)))


def happened(*messages: str) -> tuple[Event, ...]:
    return timed([Event(reason="Promoted", message=message) for message in messages], now=NOW)


def stored(rollout: Rollout) -> dict[str, Any]:
    return {"status": {"rollout": written(rollout).to_wire()}}


def test_the_oldest_events_make_room() -> None:
    rollout = with_events(PLAIN, happened(*"abcde"))
    assert [event.message for event in with_events(rollout, happened(*"fghij")).recent_events] == [*"cdefghij"]


def test_without_an_event_the_memory_stays_the_same() -> None:
    assert with_events(PLAIN, ()) is PLAIN


def test_a_message_is_as_short_as_that_of_an_event() -> None:
    (event,) = happened("x" * 5000)
    assert len(event.message) == 1024


@pytest.mark.parametrize(("minutes", "is_reported"), [(0, True), (29, True), (30, False)])
def test_an_event_that_was_just_decided_is_reported_again(minutes: int, is_reported: bool) -> None:
    events = happened("1234 gets all requests")
    manifest = stored(with_events(PLAIN, events))
    assert events_to_report(manifest, NOW + timedelta(minutes=minutes)) == (events if is_reported else ())


@pytest.mark.parametrize(
    "manifest",
    [{}, {"status": {}}, {"status": {"rollout": {"phase": 7}}}, stored(PLAIN)],
    ids=["no status", "no roll-out", "another one", "no events"],
)
def test_a_status_without_events_reports_nothing(manifest: dict[str, Any]) -> None:
    assert events_to_report(manifest, NOW) == ()
