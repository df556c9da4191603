"""Two replicas of the operator on a real API server: one leads, and the other takes over."""

from __future__ import annotations

import signal
import time

import pytest
from operator_counts import reconciles, written
from operator_process import RunningOperator
from waiting import until


@pytest.mark.parametrize(
    ("end", "seconds"),
    [
        pytest.param(RunningOperator.terminate, 12.0, id="SIGTERM"),
        pytest.param(RunningOperator.kill, 60.0, id="SIGKILL"),
    ],
)
def test_the_other_replica_takes_over(replica, own_place, end, seconds, record_property):
    first = replica("operator-0").wait_ready().wait_leading()
    second = replica("operator-1").wait_ready()
    assert not second.leads
    # 401: it answers routers, and does not know this one
    assert (first.poll_split("a", "b"), second.poll_split("a", "b")) == (401, 503)
    begun = time.monotonic()
    end(first)
    second.wait_leading()
    taken = time.monotonic() - begun
    record_property("takeover_seconds", taken)
    print(f"taken over after {taken:.1f} s")
    assert taken <= seconds
    assert second.poll_split("a", "b") == 401
    own_place.submit()
    own_place.stored("Job", "reviews-prepare")


def test_a_new_leader_writes_nothing_where_nothing_is_left_to_do(replica, own_place):
    first = replica("operator-0").wait_ready().wait_leading()
    own_place.events_of(own_place.submit())
    assert first.terminate() == 0
    second = replica("operator-1").wait_ready().wait_leading()
    until(lambda: reconciles(second), seconds=10, what="a look at the job")
    until(lambda: written(second), seconds=10, what="the address")
    assert written(second) == {"endpointslices"}


def test_a_leader_that_was_asleep_ends_once_another_leads(replica):
    first = replica("operator-0").wait_ready().wait_leading()
    second = replica("operator-1").wait_ready()
    first.process.send_signal(signal.SIGSTOP)
    second.wait_leading()
    first.process.send_signal(signal.SIGCONT)
    assert first.wait() == 1
    assert "operator-1 leads now" in first.log
    assert second.leads
