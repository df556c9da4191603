"""Which token comes next: greedy, drawn, penalised; and what can never be drawn."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tuneloop_server.generation.sampling import NotFinite, Sampling, TokenChooser, candidates

LOGITS = np.log(np.array([0.5, 0.25, 0.15, 0.1], dtype=np.float32))


def drawn(count: int, **how: float) -> list[int]:
    chooser = TokenChooser(Sampling(temperature=1.0, **({"seed": 3} | how)), [])
    return [chooser.choose(LOGITS).token for _ in range(count)]


def test_without_a_temperature_the_most_probable_token_comes_with_its_log_probability():
    token, logprob = TokenChooser(Sampling(), []).choose(LOGITS)
    assert token == 0
    assert logprob == pytest.approx(math.log(0.5), abs=1e-6)


@pytest.mark.parametrize(
    ("how", "allowed"),
    [
        pytest.param({}, {0: 0.5, 1: 0.25, 2: 0.15, 3: 0.1}, id="all"),
        pytest.param({"top_k": 2}, {0: 2 / 3, 1: 1 / 3}, id="the two most probable"),
        pytest.param({"top_k": 9}, {0: 0.5, 1: 0.25, 2: 0.15, 3: 0.1}, id="more than there are"),
        pytest.param({"top_p": 0.5}, {0: 1.0}, id="the first reaches the sum"),
        pytest.param({"top_p": 0.51}, {0: 2 / 3, 1: 1 / 3}, id="the second reaches it"),
        pytest.param({"top_p": 0.001}, {0: 1.0}, id="one is always left"),
        pytest.param({"top_k": 3, "top_p": 0.7}, {0: 2 / 3, 1: 1 / 3}, id="the sum is over those that top_k left"),
        pytest.param({"temperature": 0.5}, {0: 0.7246, 1: 0.1812, 2: 0.0652, 3: 0.029}, id="colder"),
    ],
)
def test_what_may_be_drawn_has_these_probabilities(how, allowed):
    ids, probabilities = candidates(LOGITS, Sampling(**({"temperature": 1.0} | how)))
    assert dict(zip(ids.tolist(), probabilities.tolist(), strict=True)) == pytest.approx(allowed, abs=1e-3)


def test_tokens_are_drawn_as_often_as_they_are_probable():
    counts = Counter(drawn(20_000))
    assert [counts[token] / 20_000 for token in range(4)] == pytest.approx([0.5, 0.25, 0.15, 0.1], abs=0.015)


def test_the_same_seed_draws_the_same_tokens_and_another_one_others():
    assert drawn(40) == drawn(40)
    assert drawn(40) != drawn(40, seed=4)


@pytest.mark.parametrize(
    ("logits", "left"), [([2.0, 1.9, 0.0], 1), ([-1.0, -1.1, -9.0], 1)], ids=["above 0", "below 0"]
)
def test_a_token_that_was_there_becomes_less_probable_on_both_sides_of_zero(logits, left):
    chooser = TokenChooser(Sampling(repetition_penalty=1.5), [0])
    assert chooser.choose(np.array(logits, dtype=np.float32)).token == left


def test_a_token_that_was_chosen_is_penalised_from_then_on():
    chooser = TokenChooser(Sampling(repetition_penalty=1.5), [])
    logits = np.array([2.0, 1.9, 0.0], dtype=np.float32)
    assert [chooser.choose(logits).token for _ in range(2)] == [0, 1]


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_logits_that_are_no_numbers_are_refused(value):
    with pytest.raises(NotFinite):
        TokenChooser(Sampling(), []).choose(np.array([0.0, value], dtype=np.float32))


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    size=st.sampled_from([5, 1500, 5000]),
    top_p=st.floats(0.01, 0.99),
    sharpness=st.floats(0.05, 6),
)
def test_top_p_keeps_the_fewest_tokens_that_reach_the_sum(seed, size, top_p, sharpness):
    logits = (np.random.default_rng(seed).standard_normal(size) * sharpness).astype(np.float32)
    ids, _ = candidates(logits, Sampling(temperature=1.0, top_p=top_p))
    weights = np.exp(logits.astype(np.float64) - logits.max())
    weights /= weights.sum()
    assert weights[ids].sum() >= top_p - 1e-9
    assert weights[ids].sum() - weights[ids].min() < top_p
    assert weights[ids].min() >= np.delete(weights, ids).max(initial=0)
