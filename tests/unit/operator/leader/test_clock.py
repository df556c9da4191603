"""The clock of the election: nobody can set it, and it goes on while the machine sleeps."""

from __future__ import annotations

import time

from tuneloop_operator.leader.leader import seconds_since_boot


def test_the_clock_is_that_of_the_boot() -> None:
    before = time.clock_gettime(time.CLOCK_BOOTTIME)
    now = seconds_since_boot()
    assert before <= now <= time.clock_gettime(time.CLOCK_BOOTTIME)
