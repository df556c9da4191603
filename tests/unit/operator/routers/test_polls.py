"""The polls that wait: woken by their own deployment, one for each router, and not more than there is room for."""

from __future__ import annotations

import asyncio

import pytest

from tuneloop_operator.routers.polls import Poll, Polls

REVIEWS, MAILS = ("team-a", "reviews"), ("team-a", "mails")


async def is_woken(poll: Poll | None) -> bool:
    assert poll is not None
    return await poll.wait(0.0)


def test_a_change_wakes_the_routers_of_its_own_deployment() -> None:
    async def life() -> None:
        polls = Polls(most=9)
        with (
            polls.waiting(REVIEWS, "a") as first,
            polls.waiting(REVIEWS, "b") as second,
            polls.waiting(MAILS, "a") as other,
        ):
            polls.wake(REVIEWS)
            assert [await is_woken(poll) for poll in (first, second, other)] == [True, True, False]

    asyncio.run(life())


def test_all_polls_are_woken_and_counted() -> None:
    async def life() -> None:
        polls = Polls(most=2)
        with polls.waiting(REVIEWS, "a") as first, polls.waiting(MAILS, "a") as second, polls.waiting(MAILS, "b"):
            assert polls.count == 2, "the third one is not let in"
            polls.wake_all()
            assert [await is_woken(poll) for poll in (first, second)] == [True, True]
        assert polls.count == 0

    asyncio.run(life())


def test_a_change_while_a_poll_looks_is_not_lost() -> None:
    async def life() -> None:
        polls = Polls(most=9)
        with polls.waiting(REVIEWS, "a") as poll:
            polls.wake(REVIEWS)
            polls.wake(REVIEWS)
            assert await is_woken(poll)
            assert not await is_woken(poll)
            polls.wake(REVIEWS)
            assert await is_woken(poll)

    asyncio.run(life())


def test_the_next_poll_of_a_router_ends_the_one_before() -> None:
    async def life() -> None:
        polls = Polls(most=9)
        with polls.waiting(REVIEWS, "a") as before:
            with polls.waiting(REVIEWS, "a") as poll:
                assert before is not None
                assert before.is_superseded
                assert await is_woken(before)
                assert poll is not None
                assert not poll.is_superseded
            with polls.waiting(REVIEWS, "a") as poll:
                assert poll is not None

    asyncio.run(life())


@pytest.mark.parametrize("router", ["a", "b"])
def test_there_is_room_again_once_a_poll_has_ended(router: str) -> None:
    polls = Polls(most=1)
    with polls.waiting(REVIEWS, "a") as first:
        assert first is not None
        with polls.waiting(MAILS, "c") as other:
            assert other is None
    with polls.waiting(REVIEWS, router) as later:
        assert later is not None


def test_the_routers_of_one_namespace_leave_room_for_others() -> None:
    polls = Polls(most=4, most_of_namespace=2)
    with polls.waiting(REVIEWS, "a") as first, polls.waiting(MAILS, "a") as second:
        assert first is not None
        assert second is not None
        with polls.waiting(MAILS, "b") as third, polls.waiting(("team-b", "mails"), "a") as other:
            assert third is None
            assert other is not None
    with polls.waiting(MAILS, "b") as later:
        assert later is not None


def test_nothing_is_kept_of_polls_that_have_ended() -> None:
    polls = Polls(most=1)
    for number in range(10):
        with polls.waiting(("team-a", f"d-{number}"), "a"), polls.waiting(("team-a", f"d-{number}"), "b"):
            pass
    assert not polls._waiting
    assert polls.count == 0
