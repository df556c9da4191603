"""Conditions: found by type, replaced in place, and stamped when their status changes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from tuneloop_api.v1alpha1.common import Condition, Conditions
from tuneloop_operator.state.conditions import condition, holds, moment, stamp, with_condition, without_condition

NOW = datetime(2026, 1, 1, 12, 0, 0, 999999, tzinfo=UTC)
EARLIER = "2026-01-01T11:00:00Z"
FIRST, LAST = (
    Condition(type=type_, status="True", reason="R", message="m", last_transition_time=EARLIER)
    for type_ in ("First", "Last")
)


def test_a_time_is_written_in_utc_with_whole_seconds_and_read_again() -> None:
    assert stamp(NOW) == "2026-01-01T12:00:00Z"
    assert stamp(NOW.astimezone(timezone(timedelta(hours=2)))) == "2026-01-01T12:00:00Z"
    assert moment("2026-01-01T12:00:00Z") == NOW.replace(microsecond=0)


def test_a_condition_is_found_by_its_type() -> None:
    assert condition([FIRST, LAST], "Last") is LAST
    assert condition([FIRST], "Last") is None
    assert condition(None, "Last") is None


@pytest.mark.parametrize(("status", "expected"), [("True", True), ("False", False), ("Unknown", False)])
def test_only_a_true_condition_holds(status: str, expected: bool) -> None:
    found = Condition.from_wire(LAST.to_wire() | {"status": status})
    assert holds([FIRST, found], "Last") is expected
    assert not holds([], "Last")
    assert not holds(None, "Last")


@pytest.mark.parametrize(("true", "since"), [(True, EARLIER), (False, "2026-01-01T12:00:00Z")])
def test_a_condition_is_replaced_in_its_place_and_remembers_since_when(true: bool, since: str) -> None:
    new = with_condition([FIRST, LAST], "First", true=true, reason="New", message="words", now=NOW)
    status = "True" if true else "False"
    expected = {"type": "First", "status": status, "reason": "New", "message": "words", "lastTransitionTime": since}
    assert [found.to_wire() for found in new] == [expected, LAST.to_wire()]


@pytest.mark.parametrize("before", [None, [], [FIRST]])
def test_a_new_condition_comes_last(before: Conditions | None) -> None:
    new = with_condition(before, "Last", true=False, reason="R", now=NOW)
    assert [found.type for found in new] == [*(["First"] if before else []), "Last"]
    assert (new[-1].message, new[-1].last_transition_time) == ("", "2026-01-01T12:00:00Z")


def test_a_condition_is_removed_by_its_type() -> None:
    assert without_condition([FIRST, LAST], "First") == [LAST]
    assert without_condition([LAST], "First") == [LAST]
    assert without_condition(None, "First") == []


def test_a_message_is_cut_to_what_the_api_server_takes() -> None:
    (found,) = with_condition([], "First", true=True, reason="R", message="m" * 40_000, now=NOW)
    assert found.message == "m" * 32_768
