"""The work queue: nothing lost, never two workers on one key, no namespace starved."""

from __future__ import annotations

import asyncio
from copy import deepcopy
from itertools import count
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuneloop_operator.controller.queue import Key, Schedule, Share, WorkQueue, backoff_seconds

KEYS = [Key("FineTuneJob", namespace, name) for namespace in ("a", "b") for name in ("x", "y", "z")]
ACTIONS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.sampled_from(KEYS), st.floats(0, 50)),
        st.tuples(st.just("take"), st.just(KEYS[0]), st.just(0.0)),
        st.tuples(st.just("done"), st.sampled_from(KEYS), st.just(0.0)),
        st.tuples(st.just("wait"), st.just(KEYS[0]), st.floats(0, 20)),
    ),
    max_size=60,
)


@given(ACTIONS, st.sampled_from([None, Share(alone=2, beside=1)]))
def test_nothing_is_lost_and_no_key_has_two_workers(actions: list[tuple[str, Key, float]], share: Share | None) -> None:
    schedule, now = Schedule(share=share), 0.0
    owed: dict[Key, float] = {}
    """When each key was to be worked on at the latest, by the adds since it was last taken."""
    running: set[Key] = set()
    for action, key, number in actions:
        if action == "add":
            schedule.add(key, at=now + number, now=now)
            owed[key] = min(owed.get(key, float("inf")), now + number)
        elif action == "wait":
            now += number
        elif action == "done" and key in running:
            schedule.done(key, now)
            running.remove(key)
        elif action == "take" and (taken := schedule.take(now)) is None:
            assert wakes_at(schedule, now) > now  # a worker that finds nothing sleeps
        elif action == "take" and taken is not None:
            assert taken not in running
            assert owed.pop(taken) <= now
            running.add(taken)
            assert share is None or sum(key.namespace == taken.namespace for key in running) <= share.alone
        assert not can_be_taken(schedule, now) or wakes_at(schedule, now) <= now
    for key in list(running):
        schedule.done(key, now)
    while (taken := schedule.take(1000.0)) is not None:
        assert owed.pop(taken) <= 1000.0
        schedule.done(taken, 1000.0)
    assert not owed
    assert schedule.next_at(1000.0) is None
    assert not schedule.is_busy


def wakes_at(schedule: Schedule, now: float) -> float:
    at = schedule.next_at(now)
    return inf if at is None else at


def can_be_taken(schedule: Schedule, now: float) -> bool:
    return deepcopy(schedule).take(now) is not None


@given(st.integers(1, 30), st.integers(1, 5))
def test_a_namespace_with_many_jobs_does_not_hold_up_another_one(many: int, few: int) -> None:
    schedule = Schedule()
    for number in range(many):
        schedule.add(Key("FineTuneJob", "many", str(number)), at=0, now=0)
    for number in range(few):
        schedule.add(Key("FineTuneJob", "few", str(number)), at=0, now=0)
    served = [key.namespace for key in iter(lambda: schedule.take(0), None)]
    assert served[: 2 * min(many, few)].count("few") == min(many, few)
    assert len(served) == many + few


def test_the_earliest_of_two_times_counts() -> None:
    schedule = Schedule()
    schedule.add(KEYS[0], at=50, now=0)
    schedule.add(KEYS[0], at=10, now=0)
    schedule.add(KEYS[0], at=30, now=0)
    assert schedule.next_at(0) == 10
    assert schedule.take(9) is None
    assert schedule.take(10) == KEYS[0]
    assert schedule.next_at(1000.0) is None


def test_what_is_added_during_the_work_is_worked_on_again() -> None:
    schedule = Schedule()
    schedule.add(KEYS[0], at=0, now=0)
    assert schedule.take(0) == KEYS[0]
    schedule.add(KEYS[0], at=0, now=0)
    assert schedule.take(0) is None
    schedule.done(KEYS[0], 0)
    assert schedule.take(0) == KEYS[0]


@pytest.mark.parametrize(("failures", "longest"), [(1, 0.5), (2, 1.0), (5, 8.0), (9, 30.0), (1000, 30.0)])
def test_the_wait_doubles_up_to_a_cap_and_is_shortened_at_random(failures: int, longest: float) -> None:
    assert backoff_seconds(failures, random=0.0) == longest
    assert backoff_seconds(failures, random=1.0) == longest / 2


def test_success_forgets_failures() -> None:
    async def work() -> list[float]:
        hours = count()
        queue = WorkQueue(clock=lambda: 3600.0 * next(hours), random=lambda: 0.0)
        waits = []
        for fails in (True, True, False, True):
            queue.add(KEYS[0])
            assert await queue.get() == KEYS[0]
            if fails:
                waits.append(queue.failed(KEYS[0]))
            else:
                queue.done(KEYS[0])
        return waits

    assert asyncio.run(work()) == [0.5, 1.0, 0.5]


def test_a_change_during_a_wait_does_not_shorten_it() -> None:
    async def work() -> tuple[float | None, Key | None]:
        now = 0.0
        queue = WorkQueue(clock=lambda: now, random=lambda: 0.0)
        queue.add(KEYS[0])
        await queue.get()
        queue.add(KEYS[0])  # its own write
        queue.failed(KEYS[0])
        queue.add(KEYS[0])
        early = queue.next_in()
        now = 0.5
        return early, await asyncio.wait_for(queue.get(), 5)

    assert asyncio.run(work()) == (0.5, KEYS[0])


def test_idle_comes_once_nothing_is_due_and_close_ends_the_workers() -> None:
    async def work() -> list[Key]:
        queue = WorkQueue()
        observed: list[Key] = []

        async def worker() -> None:
            while (key := await queue.get()) is not None:
                observed.append(key)
                queue.done(key, requeue_after=3600 if len(observed) == 1 else None)

        workers = [asyncio.create_task(worker()) for _ in range(3)]
        for key in KEYS:
            queue.add(key)
        await asyncio.wait_for(queue.idle(), 5)
        queue.close()
        await asyncio.wait_for(asyncio.gather(*workers), 5)
        return observed

    assert sorted(asyncio.run(work())) == sorted(KEYS)


def test_work_that_awaits_nothing_leaves_everything_else_its_turn() -> None:
    async def work() -> list[str]:
        queue, order = WorkQueue(), list[str]()

        async def worker() -> None:
            while (key := await queue.get()) is not None:
                order.append("work")
                queue.done(key)

        async def probe() -> None:
            order.append("answered")
            queue.close()

        for number in range(100):
            queue.add(Key("FineTuneJob", "a", str(number)))
        await asyncio.wait_for(asyncio.gather(worker(), probe()), 5)
        return order

    assert "work" not in asyncio.run(work())[2:]


def test_a_worker_wakes_for_a_key_that_becomes_due() -> None:
    async def work() -> Key | None:
        queue = WorkQueue()
        queue.add(KEYS[0], after=0.02)
        return await asyncio.wait_for(queue.get(), 5)

    assert asyncio.run(work()) == KEYS[0]


def test_a_key_waits_for_retry_after_and_its_own_backoff_besides() -> None:
    now = [100.0]
    queue = WorkQueue(clock=lambda: now[0], random=lambda: 0.0)

    async def fail() -> float:
        queue.add(KEYS[0])
        await queue.get()
        return queue.failed(KEYS[0], at_least=7.0)

    assert asyncio.run(fail()) == 7.0 + backoff_seconds(1, random=0.0)
    assert queue.next_in() == 7.0 + backoff_seconds(1, random=0.0)


@pytest.mark.parametrize("after", [pytest.param(0.0, id="due at once"), pytest.param(5.0, id="due later")])
def test_a_key_has_waited_since_it_was_due(after: float) -> None:
    schedule = Schedule()
    schedule.add(KEYS[0], at=after, now=0.0)
    assert schedule.take(after + 3.0) == KEYS[0]
    assert schedule.waited(KEYS[0]) == 3.0


def test_the_depth_counts_what_waits_for_a_worker() -> None:
    schedule = Schedule()
    for number, key in enumerate(KEYS[:4]):
        schedule.add(key, at=0.0 if number < 3 else 9.0, now=0.0)
    schedule.take(0.0)
    assert schedule.depth == 2


def test_a_worker_that_is_ended_as_a_key_comes_ends() -> None:
    async def life() -> None:
        queue = WorkQueue()
        worker = asyncio.create_task(queue.get())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        queue.add(KEYS[0])
        worker.cancel()
        with pytest.raises(asyncio.CancelledError):
            await worker

    asyncio.run(life())
