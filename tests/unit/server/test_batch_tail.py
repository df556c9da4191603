"""How long texts wait, and how many are answered, when clients send their next text once the last text was answered."""

from __future__ import annotations

import random
from functools import partial

import pytest
from closed_loop import cheapest, closed_loop, in_order

from tuneloop_server.batching.batch_plan import next_batch

DRAWS = random.Random(0)
LIKE = [DRAWS.randint(100, 128) for _ in range(512)]
"""Tokens of texts that fill the model's limit."""
SENTENCES = [min(max(round(DRAWS.gauss(26, 12)), 4), 62) for _ in range(512)]
ONE_LONG_OF_EIGHT = [*SENTENCES[:448], *LIKE[:64]]
UNLIKE_SENTENCES = pytest.param(SENTENCES, id="sentences")
UNLIKE_ONE_OF_EIGHT = pytest.param(ONE_LONG_OF_EIGHT, id="one long of eight")
KINDS = [pytest.param(LIKE, id="like length"), UNLIKE_SENTENCES, UNLIKE_ONE_OF_EIGHT]
CLIENTS = [1, 2, 4, 8, 16, 64]


def planned(lengths, most):
    return next_batch(lengths, max_batch_size=most)


@pytest.mark.parametrize("clients", CLIENTS)
@pytest.mark.parametrize("seed", range(2))
def test_texts_of_like_length_wait_about_as_long_as_in_order_of_arrival(clients, seed):
    run = partial(closed_loop, lengths=LIKE, clients=clients, seed=seed)
    ours, ordered = run(planned), run(in_order)
    assert ours.p99 <= 1.15 * ordered.p99
    assert ours.most_passes <= ordered.most_passes + 1


@pytest.mark.parametrize("lengths", [UNLIKE_SENTENCES, UNLIKE_ONE_OF_EIGHT])
@pytest.mark.parametrize("seed", range(2))
def test_at_64_clients_the_slowest_hundredth_of_unlike_texts_waits_about_as_long_as_in_order_of_arrival(lengths, seed):
    run = partial(closed_loop, lengths=lengths, clients=64, seed=seed)
    assert run(planned).p99 <= 1.12 * run(in_order).p99


@pytest.mark.parametrize("lengths", KINDS)
@pytest.mark.parametrize("clients", CLIENTS)
def test_nine_tenths_of_what_the_cheapest_plan_answers_are_answered(lengths, clients):
    run = partial(closed_loop, lengths=lengths, clients=clients)
    assert run(planned).rate >= 0.9 * run(cheapest).rate


@pytest.mark.parametrize(
    ("lengths", "times"),
    [pytest.param(SENTENCES, 1.25, id="sentences"), pytest.param(ONE_LONG_OF_EIGHT, 2.0, id="one long of eight")],
)
def test_at_64_clients_texts_of_unlike_length_are_answered_faster_than_in_order_of_arrival(lengths, times):
    run = partial(closed_loop, lengths=lengths, clients=64)
    assert run(planned).rate >= times * run(in_order).rate


@pytest.mark.parametrize("lengths", [UNLIKE_SENTENCES, UNLIKE_ONE_OF_EIGHT])
@pytest.mark.parametrize("clients", CLIENTS)
def test_a_text_of_unlike_length_waits_for_a_quarter_as_many_passes_as_there_are_clients(lengths, clients):
    """Two more at most. In order of arrival a text of 64 clients waits for 3 passes, which cost more."""
    assert closed_loop(planned, lengths, clients=clients).most_passes <= 2 + clients // 4
