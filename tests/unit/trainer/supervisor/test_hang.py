"""When the supervisor takes silence for a hang: steps of many lengths on a clock that the test moves."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tuneloop_trainer.supervisor.hang import FIRST_STEP_SECONDS, HangWatch
from tuneloop_trainer.supervisor.heartbeat import Beat
from tuneloop_trainer.training.speed import Speed

HOUR = 3600.0


def alarms(durations: list[float], watch: HangWatch, *, hours: float = 1.0) -> bool:
    """Let one rank make steps of these lengths, over and over; tell whether the watch ever takes a step for a hang."""
    now, step, speed = 0.0, 0, Speed()
    while now < hours * HOUR:
        seconds = durations[step % len(durations)]
        if watch.hangs(now=now + seconds):  # silence is longest just before the beat
            return True
        now, step = now + seconds, step + 1
        speed.add(seconds=seconds, tokens=1)
        watch.update([Beat(changed=step, step=step, slow_step_seconds=speed.slow_step_seconds())], now=now)
    return False


@settings(max_examples=60, deadline=None)
@given(
    st.floats(1.0, 100.0),
    st.lists(st.floats(1.0, 5.0), min_size=1, max_size=200),
)
def test_uneven_steps_are_no_hang(shortest, unevenness):
    durations = [shortest * factor for factor in unevenness]
    assert not alarms(durations, HangWatch(now=0.0, floor_seconds=60.0))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(0.5, 55.0), min_size=1, max_size=200))
def test_no_step_below_the_floor_is_a_hang(durations):
    assert not alarms(durations, HangWatch(now=0.0, floor_seconds=60.0))


def test_a_first_step_may_take_longer_than_the_floor_and_not_for_ever():
    watch = HangWatch(now=0.0, floor_seconds=60.0)
    watch.update([Beat(changed=1, step=0, slow_step_seconds=0.0)], now=5.0)
    assert not watch.hangs(now=5.0 + FIRST_STEP_SECONDS)
    assert watch.hangs(now=5.1 + FIRST_STEP_SECONDS)


@pytest.mark.parametrize("slow", [pytest.param(0.0, id="before the first step"), pytest.param(0.1, id="fast steps"), pytest.param(90.0, id="slow steps")])  # fmt: skip
def test_a_given_limit_is_the_whole_limit(slow):
    watch = HangWatch(now=0.0, floor_seconds=60.0, limit_seconds=30)
    watch.update([Beat(changed=1, step=3, slow_step_seconds=slow)], now=100.0)
    assert not watch.hangs(now=130.0)
    assert watch.hangs(now=130.1)


def test_few_steps_count_with_the_longest():
    speed = Speed()
    speed.add(seconds=1.0, tokens=1)
    speed.add(seconds=100.0, tokens=1)
    assert speed.slow_step_seconds() == 100.0
