"""What waits and what is under way, within their bounds."""

from __future__ import annotations

import asyncio

import pytest

from tuneloop_server.body_memory import BodyMemory, BodyShare
from tuneloop_server.comparator.backlog import Backlog, Copy
from tuneloop_server.comparator.slots import Slots


def test_no_more_pairs_are_under_way_than_there_are_slots_and_all_have_their_turn():
    async def most_at_once() -> tuple[int, int]:
        slots, under_way, done = Slots(3), [], []

        async def work() -> None:
            under_way.append(slots.taken)
            await asyncio.sleep(0)
            done.append(True)

        for _ in range(20):
            await slots.start(work)
        assert await slots.finish(10) == 0
        return max(under_way), len(done)

    assert asyncio.run(most_at_once()) == (3, 20)


def test_what_takes_longer_than_the_end_may_is_cut_off():
    async def cut_off() -> tuple[int, bool]:
        slots = Slots(2)
        task = await slots.start(lambda: asyncio.Event().wait())
        number = await slots.finish(0.01)
        await asyncio.wait([task])
        return number, task.cancelled()

    assert asyncio.run(cut_off()) == (1, True)


def test_a_defect_of_a_pair_ends_the_comparator_and_no_slot_is_lost():
    async def fail() -> None:
        raise ZeroDivisionError

    async def run() -> None:
        slots = Slots(1)
        for _ in range(3):
            await slots.start(fail)
        await slots.defect()

    with pytest.raises(ZeroDivisionError):
        asyncio.run(run())


def test_a_full_backlog_takes_nothing_more_and_keeps_the_order():
    async def taken() -> tuple[list[bool], list[bytes]]:
        backlog = Backlog(2)
        put = [backlog.put(copy(body)) for body in (b"1", b"2", b"3")]
        return put, [(await backlog.take()).body for _ in range(2)]

    assert asyncio.run(taken()) == ([True, True, False], [b"1", b"2"])


def test_who_waits_gets_the_next_copy():
    async def waited() -> bytes:
        backlog = Backlog(1)
        waiting = asyncio.create_task(backlog.take())
        await asyncio.sleep(0)
        backlog.put(copy(b"late"))
        return (await waiting).body

    assert asyncio.run(waited()) == b"late"


def test_copies_that_are_dropped_give_their_room_back():
    async def room() -> tuple[int, int, int]:
        backlog, memory = Backlog(5), BodyMemory(1_000_000)
        for _ in range(2):
            backlog.put(copy(b"x" * 100_000, memory))
        taken = memory.taken
        return taken, backlog.drop_all(), memory.taken

    taken, dropped, left = asyncio.run(room())
    assert taken > 100_000
    assert (dropped, left) == (2, 0)


def copy(body: bytes, memory: BodyMemory | None = None) -> Copy:
    share = BodyShare(memory or BodyMemory())
    share.grow(len(body))
    return Copy(target=b"/", body=body, share=share)
