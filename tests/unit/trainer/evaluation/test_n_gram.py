"""The n-gram baseline gives probabilities that add up, and what it has counted counts."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuneloop_trainer.evaluation.n_gram import NGramModel, Targets

VOCABULARY = 5


def targets(text: list[int]) -> Targets:
    ids = np.array([-1, *text])
    return Targets(context=np.stack([ids[:-2], ids[1:-1]], axis=1), tokens=ids[2:])


def after(model: NGramModel, first: int, second: int) -> np.ndarray:
    """The probability of each token behind two tokens."""
    context = np.tile([first, second], (VOCABULARY, 1))
    return np.exp(-model.losses(Targets(context=context, tokens=np.arange(VOCABULARY))))


TEXTS = st.lists(st.integers(0, VOCABULARY - 1), min_size=2, max_size=30)


@given(TEXTS, st.integers(-1, VOCABULARY - 1), st.integers(0, VOCABULARY - 1))
def test_the_probabilities_behind_any_two_tokens_add_up_to_one(text, first, second):
    found = after(NGramModel(targets(text), vocabulary=VOCABULARY), first, second)
    assert found.sum() == pytest.approx(1.0)
    assert (found > 0).all()


def test_the_probabilities_are_those_of_the_formula():
    model = NGramModel(targets([0, 1, 2, 1, 2]), vocabulary=VOCABULARY)  # targets: 1 2 1 2, each with what is before it
    one = (2 + 2 / VOCABULARY) / (4 + 2)  # two tokens, twice each
    two = (2 + 1 * one) / (2 + 1)  # 2 behind 1, always
    three = (1 + 1 * two) / (1 + 1)  # 2 behind 0 1, once
    assert after(model, 0, 1)[2] == pytest.approx(three)
    assert after(model, 3, 1)[2] == pytest.approx(two)
    assert after(model, 3, 3)[2] == pytest.approx(one)


def test_the_first_token_of_a_text_is_another_context_than_any_token():
    model = NGramModel(targets([0, 1, 0, 2] * 20), vocabulary=VOCABULARY)
    assert after(model, 2, 0)[1] > 0.8
    assert after(model, 1, 0)[2] > 0.8
    assert after(model, -1, 0)[1] > after(model, -1, 0)[2]


def test_a_text_that_repeats_costs_nearly_nothing_and_another_one_much():
    model = NGramModel(targets([0, 1, 2, 3, 4] * 50), vocabulary=VOCABULARY)
    assert model.losses(targets([0, 1, 2, 3, 4] * 5)).mean() < 0.1
    assert model.losses(targets([4, 3, 2, 1, 0] * 5)).mean() > 3
