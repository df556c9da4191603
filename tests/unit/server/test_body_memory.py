"""The bytes of all requests have a limit; small requests get in whatever large ones hold."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request

from tuneloop_server.body_memory import SMALL_BYTES, BodyMemory, BodyShare
from tuneloop_server.errors import RequestError
from tuneloop_server.protocols.body import read_body

SIZES = st.lists(st.lists(st.integers(0, 3 * SMALL_BYTES), max_size=5), max_size=8)


def read(parts: list[int], memory: BodyMemory, *, letter: str = "x") -> tuple[BodyShare, bytes]:
    """Read a body that comes in parts of so many letters."""
    messages = [{"type": "http.request", "body": letter.encode() * part, "more_body": True} for part in parts]
    coming = iter([*messages, {"type": "http.request", "body": b"", "more_body": False}])

    async def receive() -> dict:
        return next(coming)

    share = BodyShare(memory)
    return share, asyncio.run(read_body(Request({"type": "http", "headers": []}, receive), share))


@given(sizes=SIZES)
def test_bodies_count_until_they_are_given_back(sizes):
    memory = BodyMemory()
    shares = [read(parts, memory)[0] for parts in sizes]
    assert memory.taken == sum(max(0, sum(parts) - SMALL_BYTES) for parts in sizes)
    for share in shares:
        share.give_back()
    assert memory.taken == 0


def test_the_first_8_kib_of_a_body_are_not_counted():
    memory = BodyMemory()
    read([8192], memory)
    assert memory.taken == 0
    read([8193], memory)
    assert memory.taken == 1


def test_bytes_are_counted_and_not_letters():
    memory = BodyMemory()
    _, body = read([5000, 5000], memory, letter="語")
    assert len(body) == 30_000
    assert memory.taken == 30_000 - SMALL_BYTES
    with pytest.raises(RequestError, match="at most 1048576 bytes") as refused:
        read([349_525, 1], memory, letter="語")
    assert refused.value.status == 413


def test_the_last_byte_that_fits_is_taken():
    memory = BodyMemory(most=100_000)
    share = BodyShare(memory)
    share.grow(SMALL_BYTES + 100_000)
    with pytest.raises(RequestError):
        share.grow(SMALL_BYTES + 100_001)


def test_too_many_bytes_are_refused_with_retry_after():
    memory = BodyMemory(most=100_000)
    held, body = read([60_000, 10_000], memory)
    assert len(body) == 70_000
    with pytest.raises(RequestError, match="may have 100000 bytes together; try again in 1 s") as refused:
        read([60_000, 10_000], memory)
    assert (refused.value.status, refused.value.reason, refused.value.retry_after) == (429, "overloaded", 1)
    assert len(read([SMALL_BYTES], memory)[1]) == SMALL_BYTES
    held.give_back()


def test_a_refused_body_gives_back_what_it_took():
    memory = BodyMemory(most=100_000)
    share = BodyShare(memory)
    share.grow(100_000)
    with pytest.raises(RequestError):
        share.grow(200_000)
    share.give_back()
    assert memory.taken == 0
