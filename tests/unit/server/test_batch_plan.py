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
    WORTH_OVERTAKING,
    next_batch,
    recent_rate,
    retry_after,
    worth_waiting,
)

LENGTHS = st.lists(st.integers(1, 512), min_size=1, max_size=200)
SIZES = st.integers(1, 64)


def cost(lengths: list[int], parts: list[list[int]]) -> int:
    return sum(PASS_TOKENS + len(part) * max(lengths[index] for index in part) for part in parts)


def cheapest_cost(lengths: list[int], size: int) -> int:
    """The cost of the cheapest of all divisions into passes, tried out."""
    if not lengths:
        return 0
    first, rest = lengths[0], lengths[1:]
    others = (chosen for count in range(min(size, len(lengths))) for chosen in combinations(range(len(rest)), count))
    return min(
        PASS_TOKENS
        + (1 + len(chosen)) * max([first, *(rest[index] for index in chosen)])
        + cheapest_cost([length for index, length in enumerate(rest) if index not in chosen], size)
        for chosen in others
    )


def considered(lengths: list[int], size: int) -> int:
    """How many of the oldest texts a plan covers."""
    return min(len(lengths), size + min(size, MOST_LOOKAHEAD))


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
def test_a_pass_is_in_order_of_arrival_or_holds_neighbours_in_length(lengths, size):
    batch = next_batch(lengths, max_batch_size=size)
    shortest, longest = min(lengths[index] for index in batch), max(lengths[index] for index in batch)
    between = [index for index in range(considered(lengths, size)) if shortest < lengths[index] < longest]
    assert batch == list(range(min(len(lengths), size))) or not [index for index in between if index not in batch]


@given(LENGTHS, SIZES)
def test_padding_out_of_order_never_costs_more_than_a_pass_of_its_own(lengths, size):
    chosen = next_batch(lengths, max_batch_size=size)
    batch = sorted(lengths[index] for index in chosen)
    in_order = chosen == list(range(min(len(lengths), size)))
    for shorter in range(1, len(batch)):
        assert in_order or shorter * (batch[-1] - batch[shorter - 1]) <= PASS_TOKENS


@given(st.lists(st.integers(1, 300), min_size=1, max_size=6), st.integers(1, 4))
def test_the_passes_cost_at_most_a_tenth_more_than_the_cheapest_division(lengths, size):
    # What a pass in order of arrival leaves costs no more than in order of arrival; with at most 2 batches' worth waiting, all of it is planned.
    if len(lengths) <= 2 * size:
        assert cost(lengths, all_passes(lengths, size)) <= WORTH_OVERTAKING * cheapest_cost(lengths, size)


@given(st.lists(st.integers(1, 300), min_size=1, max_size=6), st.integers(1, 4))
def test_texts_overtake_each_other_only_where_that_saves_a_tenth(lengths, size):
    considered_texts = lengths[: considered(lengths, size)]
    in_order = [list(range(len(considered_texts)))[first : first + size] for first in range(0, len(lengths), size)]
    in_order_cost = cost(lengths, [part for part in in_order if part])
    if in_order_cost < WORTH_OVERTAKING * cheapest_cost(considered_texts, size):
        assert next_batch(lengths, max_batch_size=size) == list(range(min(len(lengths), size)))


@pytest.mark.parametrize(
    ("lengths", "batch"),
    [
        pytest.param([110, 128, 112, 126], [0, 1, 2, 3], id="like texts go together"),
        pytest.param([10, 128, 12, 126], [0, 2], id="unlike texts are divided"),
        pytest.param([128, 10, 126, 12], [0, 2], id="the part with the oldest text comes first"),
        pytest.param([110] * 3 + [128] * 3, [0, 1, 2, 3], id="a full batch of like texts leaves in order of arrival"),
    ],
)
def test_texts_of_unlike_length_are_divided(lengths, batch):
    assert sorted(next_batch(lengths, max_batch_size=4)) == batch


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


@given(st.lists(st.integers(1, 300), min_size=1, max_size=40), st.integers(1, 16))
def test_where_the_model_does_not_pad_full_passes_leave_in_order_of_arrival(lengths, size):
    assert next_batch(lengths, max_batch_size=size, pads=False) == list(range(min(len(lengths), size)))
