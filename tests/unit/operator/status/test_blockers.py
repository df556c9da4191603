"""The conditions of a blocker, which stay as they are for as long as the blocker stays."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from tuneloop_operator.state.conditions import condition, with_condition
from tuneloop_operator.state.observed import Blocker
from tuneloop_operator.status.blockers import with_blocker

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LATER = NOW + timedelta(seconds=30)
REFUSED = Blocker(reason="Refused", message="exceeded quota")


def test_a_blocker_that_stays_changes_nothing() -> None:
    """Else every report would be a change of the object, and every change another report."""
    ready = with_condition(None, "Ready", true=False, reason="Degraded", now=NOW)
    first = with_blocker(ready, REFUSED, is_gone=True, now=NOW)
    again = with_condition(first, "Ready", true=False, reason="Degraded", now=LATER)
    assert with_blocker(again, REFUSED, is_gone=True, now=LATER) == first


@pytest.mark.parametrize(
    ("blocker", "is_gone", "kept"),
    [
        pytest.param(None, True, set(), id="it is gone"),
        pytest.param(None, False, {"Refused"}, id="nothing is known of it"),
        pytest.param(Blocker(reason="NameConflict", message="m"), True, {"NameConflict"}, id="another one"),
    ],
)
def test_the_condition_of_an_earlier_blocker(blocker: Blocker | None, is_gone: bool, kept: set[str]) -> None:
    before = with_blocker([], REFUSED, is_gone=True, now=NOW)
    after = with_blocker(before, blocker, is_gone=is_gone, now=LATER)
    assert {found.type for found in after} == kept
    if blocker is not None:
        found = condition(after, blocker.reason)
        assert found is not None
        assert (found.status, found.message) == ("True", blocker.message)
