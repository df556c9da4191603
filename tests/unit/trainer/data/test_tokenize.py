"""Texts are cut exactly as the tokenizer itself cuts them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_models import WORDS, tiny_tokenizer

from tuneloop_trainer.data.tokenize import RowEncoder, default_max_tokens, wrap
from tuneloop_trainer.errors import ModelAccessError
from tuneloop_trainer.models.tokenizer import read_as_text
from tuneloop_trainer.tasks import TASKS
from tuneloop_trainer.tasks.task import EncodedRow

TOKENIZER = tiny_tokenizer()


def encode(tokenizer: Any, texts: list[str], *, vocabulary: int | None = None) -> list[EncodedRow]:
    """Encode texts of one class as `prepare` does."""
    wrapped = wrap(tokenizer, vocabulary=vocabulary or len(tokenizer))
    encoder = RowEncoder(
        tokenizer=wrapped, encode_rows=TASKS["text-classification"].encode, label_ids={"any": 0}, limit=None
    )
    return encoder.encode([{"text": text, "label": "any"} for text in texts])


@pytest.mark.parametrize("side", ["right", "left"])
@settings(max_examples=60, deadline=None)
@given(words=st.lists(st.sampled_from(WORDS), max_size=20), most=st.integers(3, 24))
def test_a_cut_text_is_what_the_tokenizer_itself_makes_of_it(side, words, most):
    tokenizer = tiny_tokenizer()
    tokenizer.truncation_side = side
    wrapped = wrap(tokenizer, vocabulary=len(tokenizer))
    (row,) = encode(tokenizer, [" ".join(words)])
    expected = tokenizer(" ".join(words), truncation=True, max_length=most)["input_ids"]
    assert wrapped.cut(row, most).input_ids.tolist() == expected


@settings(max_examples=60, deadline=None)
@given(length=st.integers(3, 20), most=st.integers(3, 24), keep_end=st.booleans())
def test_all_token_columns_are_cut_alike_and_row_columns_stay(length, most, keep_end):
    ids = np.arange(length, dtype=np.int32)
    row = EncodedRow(input_ids=ids, token_columns={"labels": ids * 10, "words": -ids}, row_columns={"group": 7})
    cut = replace(wrap(TOKENIZER, vocabulary=99), keep_end=keep_end).cut(row, most)
    assert len(cut.input_ids) == min(length, most)
    assert cut.token_columns["labels"].tolist() == (cut.input_ids * 10).tolist()
    assert cut.token_columns["words"].tolist() == (-cut.input_ids).tolist()
    assert cut.row_columns == {"group": 7}


def test_special_tokens_are_counted():
    wrapped = wrap(TOKENIZER, vocabulary=len(TOKENIZER))
    assert (wrapped.leading, wrapped.trailing) == (1, 1)


def test_a_saved_truncation_or_padding_of_the_tokenizer_plays_no_part():
    tokenizer = tiny_tokenizer()
    tokenizer.backend_tokenizer.enable_truncation(max_length=4)
    tokenizer.backend_tokenizer.enable_padding(length=16)
    rows = encode(tokenizer, ["a good film", "the story of a very smart film is fun"])
    assert [len(row.input_ids) for row in rows] == [5, 11]


def test_texts_without_any_token_are_encoded_as_such():
    """Who calls names the row (`tokenize`)."""
    nothing = EncodedRow(input_ids=np.array([], dtype=np.int32))
    encoder = RowEncoder(
        tokenizer=wrap(TOKENIZER, vocabulary=1), encode_rows=lambda *_: [nothing], label_ids={}, limit=None
    )
    assert encoder.encode([{"text": ""}]) == [nothing]


def test_an_id_without_an_embedding_is_refused():
    with pytest.raises(ModelAccessError, match="they do not belong together"):
        encode(TOKENIZER, ["the story"], vocabulary=10)


def test_the_last_embedding_may_be_used_and_the_next_id_has_none():
    highest = int(encode(TOKENIZER, ["the story"])[0].input_ids.max())
    assert encode(TOKENIZER, ["the story"], vocabulary=highest + 1)
    with pytest.raises(ModelAccessError, match=f"makes the id {highest}, the model has {highest} embeddings"):
        encode(TOKENIZER, ["the story"], vocabulary=highest)


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


def tokenizer_of(words: list[str]) -> Any:
    """Return a tokenizer that leaves out all but these words, and begins each text with two special tokens."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    backend = Tokenizer(models.BPE({token: index for index, token in enumerate(["<s>", "<pad>", *words])}, []))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    backend.post_processor = processors.TemplateProcessing(single="<s> <s> $A", special_tokens=[("<s>", 0)])
    return read_as_text(PreTrainedTokenizerFast(tokenizer_object=backend, pad_token="<pad>", bos_token="<s>"))


def test_a_vocabulary_without_latin_letters_is_read():
    wrapped = wrap(tokenizer_of(["日", "本"]), vocabulary=4)
    assert (wrapped.leading, wrapped.trailing) == (2, 0)


def test_a_tokenizer_that_knows_no_text_is_refused():
    with pytest.raises(ModelAccessError, match="the tokenizer makes no token of any text"):
        wrap(tokenizer_of([]), vocabulary=2)
