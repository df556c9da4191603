"""Texts are cut exactly as the tokenizer itself cuts them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_models import WORDS, tiny_tokenizer

from tuneloop_trainer.data.tokenize import default_max_tokens, wrap
from tuneloop_trainer.errors import ModelAccessError

TOKENIZER = tiny_tokenizer()


@pytest.mark.parametrize("side", ["right", "left"])
@settings(max_examples=60, deadline=None)
@given(words=st.lists(st.sampled_from(WORDS), max_size=20), most=st.integers(3, 24))
def test_a_cut_text_is_what_the_tokenizer_itself_makes_of_it(side, words, most):
    tokenizer = tiny_tokenizer()
    tokenizer.truncation_side = side
    wrapped = wrap(tokenizer, vocabulary=len(tokenizer))
    (ids,) = wrapped.encode([" ".join(words)])
    expected = tokenizer(" ".join(words), truncation=True, max_length=most)["input_ids"]
    assert wrapped.cut(ids, most).tolist() == expected


def test_special_tokens_are_counted():
    wrapped = wrap(TOKENIZER, vocabulary=len(TOKENIZER))
    assert (wrapped.leading, wrapped.trailing) == (1, 1)


def test_a_saved_truncation_or_padding_of_the_tokenizer_plays_no_part():
    tokenizer = tiny_tokenizer()
    tokenizer.backend_tokenizer.enable_truncation(max_length=4)
    tokenizer.backend_tokenizer.enable_padding(length=16)
    wrapped = wrap(tokenizer, vocabulary=len(tokenizer))
    assert [len(ids) for ids in wrapped.encode(["a good film", "the story of a very smart film is fun"])] == [5, 11]


def test_an_id_without_an_embedding_is_refused():
    wrapped = wrap(TOKENIZER, vocabulary=10)
    with pytest.raises(ModelAccessError, match="they do not belong together"):
        wrapped.encode(["the story"])


@pytest.mark.parametrize(
    ("lengths", "limit", "expected"),
    [
        pytest.param([5] * 1000, None, 8, id="rounded up to a multiple of 8"),
        pytest.param([8] * 1000, None, 8, id="a multiple stays"),
        pytest.param([10] * 999 + [500], None, 16, id="a rare long one does not count"),
        pytest.param([10] * 99 + [500], None, 504, id="one in a hundred does"),
        pytest.param([500] * 100, 128, 128, id="at most what the model reads"),
        pytest.param([10] * 100, 12, 12, id="the limit need be no multiple"),
    ],
)
def test_max_tokens_is_the_99_5th_percentile(lengths, limit, expected):
    assert default_max_tokens(np.array(lengths), limit=limit) == expected
