"""The clock of the election: nobody can set it, and it goes on while the machine sleeps."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from tuneloop_operator.leader.leader import seconds_since_boot

if TYPE_CHECKING:
    import pytest


def test_the_clock_is_that_of_the_boot() -> None:
    before = time.clock_gettime(time.CLOCK_BOOTTIME)
    now = seconds_since_boot()
    assert before <= now <= time.clock_gettime(time.CLOCK_BOOTTIME)


def test_the_clock_goes_on_while_the_machine_sleeps(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test can put the machine to sleep. So the clock that is read is looked at."""
    read: list[int] = []
    monkeypatch.setattr(time, "clock_gettime", lambda clock: read.append(clock) or 7.0)
    assert (seconds_since_boot(), read) == (7.0, [time.CLOCK_BOOTTIME])
