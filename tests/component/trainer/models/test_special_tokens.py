"""A special token in a text is text: in training and at the server, whatever the kind of tokenizer."""

from __future__ import annotations

import copy
from functools import cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_models import WORDS, tiny_tokenizer, tiny_tokenizers
from tiny_taggers import ARCHITECTURES, tiny_tagger_tokenizer

from tuneloop_server.runtimes.tokenizer import TextTokenizer
from tuneloop_trainer.models.tokenizer import read_as_text
from tuneloop_trainer.tasks import TASKS

TAGGERS = tuple(ARCHITECTURES)
KINDS = [
    "WordPiece", "WordPiece, cased", "words", "byte-level BPE", "byte-level BPE, prefix space", "byte-level BPE, offsets with spaces",
    "byte-level BPE behind a regex", "BPE, spaces as letters", "Unigram, always a prefix", "Unigram, first a prefix", "Unigram, never a prefix",
    "Unigram behind whitespace", "BERT's own class", "words behind whitespace", "T5's own class", "Unigram, undivided", *TAGGERS,
]  # fmt: skip
PIECES = st.sampled_from(
    [*WORDS[:8], " ", "  ", "\n", "\t", "<", "/", "s", ">", "</", "s>", "<p", "ad>", "[", "SEP", "]", "é", "e\u0301", "日", "🙂", "İ", "\ufb01", "\u200b", "."]
)  # fmt: skip
TEXTS = st.lists(PIECES, max_size=14).map("".join) | st.text(max_size=12)
TOKEN_TASK = TASKS["token-classification"]


@cache
def plain_tokenizers() -> dict[str, Any]:
    """Tokenizers as transformers loads them."""
    return {
        **tiny_tokenizers(),
        "BERT's own class": tiny_tokenizer(),
        "words behind whitespace": words_behind_whitespace(),
        "T5's own class": t5(),
        "Unigram, undivided": undivided(),
        **{name: tiny_tagger_tokenizer(name) for name in TAGGERS},
    }


def words_behind_whitespace():
    """Every word is a token, so that a special token is one as well."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    vocabulary = ["<pad>", "<unk>", "<s>", "</s>", *WORDS]
    backend = Tokenizer(models.WordLevel({word: index for index, word in enumerate(vocabulary)}, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, pad_token="<pad>", unk_token="<unk>", bos_token="<s>", eos_token="</s>"
    )


def t5():
    from transformers import T5TokenizerFast

    pieces = [(piece, 0.0) for piece in ("<pad>", "</s>", "<unk>")]
    letters = sorted(set("".join(WORDS)) | set("▁<>/s"))
    words = [(f"▁{word}", -5.0 - index / 10) for index, word in enumerate(WORDS) if len(word) > 1]
    return T5TokenizerFast(vocab=[*pieces, *words, *((letter, -12.0) for letter in letters)], extra_ids=3)


def undivided():
    """Pieces are found in the whole text, as no pre-tokenizer divides it."""
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    pieces = [(piece, 0.0) for piece in ("<pad>", "<unk>", "<s>", "</s>")]
    letters = sorted(set("".join(WORDS)) | set(" <>/"))
    words = [(word, -5.0 - index / 10) for index, word in enumerate(WORDS) if len(word) > 1]
    backend = Tokenizer(models.Unigram([*pieces, *words, *((letter, -12.0) for letter in letters)], unk_id=1))
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, pad_token="<pad>", unk_token="<unk>", bos_token="<s>", eos_token="</s>"
    )


@cache
def text_tokenizers() -> dict[str, Any]:
    """The same as the trainer uses them."""
    return {name: read_as_text(copy.deepcopy(tokenizer)) for name, tokenizer in plain_tokenizers().items()}


@cache
def served(kind: str) -> TextTokenizer:
    """The same as the server uses it."""
    return TextTokenizer(copy.deepcopy(plain_tokenizers()[kind]), max_tokens=64, needs_offsets=True, max_windows=256)


def special_tokens(kind: str) -> list[str]:
    added = plain_tokenizers()[kind].backend_tokenizer.get_added_tokens_decoder().values()
    return [token.content for token in added if token.special]


def forbidden(kind: str) -> set[int]:
    """Ids that no text may have; the token for unknown letters is none of them."""
    tokenizer = plain_tokenizers()[kind]
    return set(tokenizer.convert_tokens_to_ids(special_tokens(kind))) - {tokenizer.unk_token_id}


def test_every_kind_of_tokenizer_is_tried():
    assert sorted(plain_tokenizers()) == sorted(KINDS)
    assert all(len(special_tokens(kind)) >= 3 for kind in KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_a_special_token_in_a_text_is_read_as_text(kind):
    tokenizer, wrong = text_tokenizers()[kind], forbidden(kind)
    for token in special_tokens(kind):
        for text in (
            token,
            f"good {token} bad",
            f"good{token}bad",
            token * 2,
            f"{token} {token}",
            f"\uff1c/s\uff1e{token}",
        ):
            of_text = tokenizer(text, add_special_tokens=False)["input_ids"]
            of_words = tokenizer([text.split()], is_split_into_words=True, add_special_tokens=False)["input_ids"][0]
            assert not wrong & {*of_text, *of_words}, (text, tokenizer.convert_ids_to_tokens(of_text))


@pytest.mark.parametrize("kind", KINDS)
def test_the_server_reads_a_special_token_as_training_did(kind):
    tokenizer = text_tokenizers()[kind]
    texts = [f"good {token} bad{token}" for token in special_tokens(kind)]
    expected = tokenizer(texts)["input_ids"]
    assert [window.ids for (window,) in served(kind).encode(texts, stride=None)] == expected
    assert [windows[0].ids for windows in served(kind).encode(texts, stride=0)] == expected


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=60, deadline=None)
@given(text=TEXTS)
def test_a_text_without_special_tokens_has_the_tokens_that_it_had(kind, text):
    plain, changed = plain_tokenizers()[kind], text_tokenizers()[kind]
    if forbidden(kind) & set(plain(text, add_special_tokens=False)["input_ids"]):
        return
    for way in ({"text": text}, {"text": [text.split()], "is_split_into_words": True}):
        before = plain(**way, return_offsets_mapping=True, return_special_tokens_mask=True, split_special_tokens=False)
        after = changed(**way, return_offsets_mapping=True, return_special_tokens_mask=True)
        assert after.data == before.data
        assert [encoding.word_ids for encoding in after.encodings] == [
            encoding.word_ids for encoding in before.encodings
        ]


@pytest.mark.parametrize("kind", KINDS)
def test_words_keep_their_tags_where_a_word_is_a_special_token(kind):
    for token in special_tokens(kind):
        rows = [{"tokens": ["good", token, "bad"], "tags": ["O", "B", "O"]}]
        (row,) = TOKEN_TASK.encode(text_tokenizers()[kind], rows, {"O": 0, "B": 1})
        labels = row.token_columns["labels"]
        assert labels[labels >= 0].tolist() == [0, 1, 0]
