"""Which texts share a forward pass."""

from __future__ import annotations

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuneloop_server.batching.batch_plan import (
    LONGEST_RETRY,
    MOST_LOOKAHEAD,
    PASS_TOKENS,
    next_batch,
    recent_rate,
    retry_after,
    worth_waiting,
)

LENGTHS = st.lists(st.integers(1, 512), min_size=1, max_size=200)
SIZES = st.integers(1, 64)


def cost(lengths: list[int], parts: list[list[int]]) -> int:
    return sum(PASS_TOKENS + len(part) * max(lengths[index] for index in part) for part in parts)


def all_passes(lengths: list[int], size: int) -> list[list[int]]:
    """The passes over what waits now, when nothing more arrives; as indices into `lengths`."""
    waiting, passes = list(range(len(lengths))), []
    while waiting:
        chosen = [waiting[index] for index in next_batch([lengths[index] for index in waiting], max_batch_size=size)]
        passes.append(chosen)
        waiting = [index for index in waiting if index not in chosen]
    return passes


@given(LENGTHS, SIZES)
def test_every_text_is_in_exactly_one_pass(lengths, size):
    assert sorted(index for part in all_passes(lengths, size) for index in part) == list(range(len(lengths)))


@given(LENGTHS, SIZES)
def test_no_pass_is_larger_than_allowed(lengths, size):
    assert 1 <= len(next_batch(lengths, max_batch_size=size)) <= size


@given(LENGTHS, SIZES)
def test_the_oldest_text_is_always_in_the_next_pass(lengths, size):
    assert 0 in next_batch(lengths, max_batch_size=size)


@given(LENGTHS.map(lambda lengths: lengths[:30]), LENGTHS, SIZES)
def test_a_text_waits_for_no_more_passes_than_there_are_older_texts(lengths, later, size):
    waiting, new = list(enumerate(lengths)), len(lengths)
    for number in range(len(lengths)):
        if not waiting or waiting[0][0] == new:
            return
        chosen = next_batch([length for _, length in waiting], max_batch_size=size)
        waiting = [text for index, text in enumerate(waiting) if index not in chosen]
        assert number not in dict(waiting)
        waiting += [(new, length) for length in later[4 * number : 4 * number + 4]]


@given(LENGTHS, SIZES)
def test_padding_never_costs_more_than_a_pass_of_its_own(lengths, size):
    batch = sorted(lengths[index] for index in next_batch(lengths, max_batch_size=size))
    for shorter in range(1, len(batch)):
        assert shorter * (batch[-1] - batch[shorter - 1]) <= PASS_TOKENS


@given(LENGTHS, SIZES)
def test_a_pass_holds_neighbours_in_length(lengths, size):
    batch = next_batch(lengths, max_batch_size=size)
    shortest, longest = min(lengths[index] for index in batch), max(lengths[index] for index in batch)
    considered = range(min(len(lengths), size + min(2 * size, MOST_LOOKAHEAD)))
    assert not [index for index in considered if index not in batch and shortest < lengths[index] < longest]


@given(st.lists(st.integers(1, 300), min_size=1, max_size=6), st.integers(1, 4))
def test_no_division_of_the_texts_is_cheaper(lengths, size):
    def cheapest(left: tuple[int, ...]) -> int:
        if not left:
            return 0
        first, rest = left[0], left[1:]
        parts = ([first, *others] for count in range(min(size, len(left))) for others in combinations(rest, count))
        return min(
            cost(lengths, [part]) + cheapest(tuple(index for index in left if index not in part)) for part in parts
        )

    # The oldest text's part of the cheapest plan runs first; with at most 3 batches' worth waiting, the rest of that plan stays cheapest.
    if len(lengths) <= 3 * size:
        assert cost(lengths, all_passes(lengths, size)) == cheapest(tuple(range(len(lengths))))


def test_texts_of_one_length_fill_the_pass():
    assert sorted(next_batch([20] * 40, max_batch_size=16)) == list(range(16))


def test_a_long_text_does_not_pad_short_ones():
    assert next_batch([500, *[10] * 15], max_batch_size=16) == [0]
    assert sorted(next_batch([10, 500, *[10] * 14], max_batch_size=16)) == [0, *range(2, 16)]


def test_a_long_text_waits_no_longer_than_the_texts_before_it():
    lengths = [*[10] * 20, 500]
    position = next(number for number, part in enumerate(all_passes(lengths, 4)) if 20 in part)
    assert position <= 5


@pytest.mark.parametrize(
    ("waiting", "last_batch", "wait"),
    [
        pytest.param(1, 0, False, id="the first text ever is answered at once"),
        pytest.param(1, 1, False, id="a single client is never kept waiting"),
        pytest.param(1, 8, True, id="one of eight clients waits for the others"),
        pytest.param(3, 8, True, id="three of eight are too few"),
        pytest.param(4, 8, False, id="half of them are enough"),
    ],
)
def test_an_idle_model_waits_only_where_more_is_likely(waiting, last_batch, wait):
    assert worth_waiting(waiting=waiting, last_batch=last_batch) is wait


@pytest.mark.parametrize(
    ("waiting", "seconds_per_text", "seconds"),
    [
        pytest.param(256, 0.01, 3, id="256 texts at 100 a second"),
        pytest.param(256, 0.0, 1, id="no rate is known yet"),
        pytest.param(60000, 1.0, LONGEST_RETRY, id="never longer than a minute"),
        pytest.param(60, 1.0, 60, id="exactly a minute"),
        pytest.param(30, 1.0, 30, id="half a minute"),
    ],
)
def test_retry_after_is_the_time_that_the_queue_takes(waiting, seconds_per_text, seconds):
    assert retry_after(waiting=waiting, seconds_per_text=seconds_per_text) == seconds


@pytest.mark.parametrize(
    ("previous", "seconds", "rows", "rate"),
    [
        pytest.param(0.0, 0.8, 4, 0.2, id="the first pass sets the rate"),
        pytest.param(0.2, 2.8, 4, 0.3, id="a slower pass raises it by a fifth of the difference"),
        pytest.param(0.2, 0.4, 4, 0.18, id="a faster pass lowers it by a fifth of the difference"),
    ],
)
def test_the_recent_rate_follows_the_newest_pass(previous, seconds, rows, rate):
    assert recent_rate(previous, seconds=seconds, rows=rows) == pytest.approx(rate)
