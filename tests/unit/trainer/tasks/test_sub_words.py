"""The tag of a word lies on the word's first token, whatever the tokenizer does with spaces, case and unknown characters."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_models import WORDS, tiny_tokenizers

from tuneloop_trainer.dataset.shards import IGNORED
from tuneloop_trainer.tasks.token_classification import TOKEN_CLASSIFICATION

TOKENIZERS = cache(tiny_tokenizers)
KINDS = [
    "WordPiece", "WordPiece, cased", "words", "byte-level BPE", "byte-level BPE, prefix space", "byte-level BPE, offsets with spaces",
    "byte-level BPE behind a regex", "BPE, spaces as letters", "Unigram, always a prefix", "Unigram, first a prefix", "Unigram, never a prefix",
    "Unigram behind whitespace",
]  # fmt: skip
READABLE = st.sampled_from(
    [*WORDS, "Film,", "(345)", "café", "Zürich", "don't", "U.S.", "12", "-", "ab-cd", "日本", "x" * 30]
)
ANY = READABLE | st.text(max_size=6) | st.sampled_from(["", " ", "\t", "\u200b", "\x00", "a b", "🙂🙂", "\ufb01"])


def encoded(kind: str, words: list[str]):
    """Return (tokens, labels, words of the tokens) of a row whose tags are all different: the label of word i is i."""
    tags = [str(index) for index in range(len(words))]
    (row,) = TOKEN_CLASSIFICATION.encode(
        TOKENIZERS()[kind], [{"tokens": words, "tags": tags}], {tag: index for index, tag in enumerate(tags)}
    )
    return row.input_ids, row.token_columns["labels"], row.token_columns["words"]


def test_every_kind_of_tokenizer_is_tried():
    assert sorted(TOKENIZERS()) == sorted(KINDS)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=20, deadline=None)
@given(words=st.lists(READABLE, min_size=1, max_size=12))
def test_every_word_is_labeled_once_and_in_order(kind, words):
    _, labels, _ = encoded(kind, words)
    assert labels[labels != IGNORED].tolist() == list(range(len(words)))


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=20, deadline=None)
@given(words=st.lists(ANY, min_size=1, max_size=12))
def test_words_of_any_characters_are_labeled_at_most_once_and_in_order(kind, words):
    _, labels, _ = encoded(kind, words)
    labeled = labels[labels != IGNORED].tolist()
    assert labeled == sorted(set(labeled))


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=20, deadline=None)
@given(words=st.lists(ANY, min_size=1, max_size=12))
def test_the_label_is_on_the_first_token_of_its_word(kind, words):
    _, labels, of_token = encoded(kind, words)
    known = of_token >= 0
    assert (np.diff(of_token[known]) >= 0).all()
    first = np.diff(of_token[known], prepend=-1) > 0
    assert (labels[known][first] == of_token[known][first]).all()
    assert (labels[known][~first] == IGNORED).all()
    assert (labels[~known] == IGNORED).all()


@pytest.mark.parametrize("kind", KINDS)
def test_the_model_reads_the_same_tokens_as_for_the_plain_text(kind):
    words = ["the", "Film,", "was", "café"]
    ids, _, _ = encoded(kind, words)
    assert ids.tolist() == TOKENIZERS()[kind]("the Film, was café")["input_ids"]


@pytest.mark.parametrize("kind", KINDS)
def test_special_tokens_belong_to_no_word(kind):
    _, labels, of_token = encoded(kind, ["the", "film"])
    assert (labels[0], labels[-1], of_token[0], of_token[-1]) == (IGNORED, IGNORED, -1, -1)


def test_a_word_of_several_tokens_has_one_label():
    _, labels, of_token = encoded("byte-level BPE", ["film", "xqzxqz", "film"])
    several = of_token == 1
    assert several.sum() > 1
    assert labels[several].tolist() == [1, *[IGNORED] * (several.sum() - 1)]


def test_a_word_without_a_token_has_no_label():
    _, labels, _ = encoded("WordPiece", ["film", "  ", "", "good"])
    assert labels[labels != IGNORED].tolist() == [0, 3]
