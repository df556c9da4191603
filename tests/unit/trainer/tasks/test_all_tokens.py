"""`taskOptions.labelAllTokens`: the further tokens of a word learn the word's tag, and the spans stay those of the row."""

from __future__ import annotations

from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_models import WORDS, tiny_tokenizers

from tuneloop_trainer.data.formats.tag_schemes import PREFIXES, Span, spans_of, tags_of
from tuneloop_trainer.dataset.shards import IGNORED
from tuneloop_trainer.tasks.task import EncodedRow
from tuneloop_trainer.tasks.token_classification import TOKEN_CLASSIFICATION, with_all_tokens

TOKENIZERS = cache(tiny_tokenizers)
KINDS = ["WordPiece", "byte-level BPE", "Unigram, always a prefix"]
TYPES = ["PER", "LOC"]
LABELS = {scheme: ("O", *(f"{prefix}-{kind}" for kind in TYPES for prefix in PREFIXES[scheme])) for scheme in PREFIXES}
READABLE = st.sampled_from([*WORDS, "Film,", "café", "xqzxqz", "don't", "x" * 30])


@st.composite
def tagged_rows(draw: Any, scheme: Any) -> tuple[list[str], list[Span]]:
    """Return words, and spans of them that do not overlap."""
    words = draw(st.lists(READABLE, min_size=1, max_size=10))
    edges = sorted(draw(st.sets(st.integers(0, len(words)), max_size=6)))
    pairs = pairwise(edges)
    return words, [Span(*pair, draw(st.sampled_from(TYPES))) for pair in pairs if draw(st.booleans())]


def encoded(kind: str, words: list[str], tags: list[str], labels: tuple[str, ...]) -> EncodedRow:
    ids = {label: index for index, label in enumerate(labels)}
    (row,) = TOKEN_CLASSIFICATION.encode(TOKENIZERS()[kind], [{"tokens": words, "tags": tags}], ids)
    return row


@pytest.mark.parametrize("scheme", ["iob2", "bioes"])
@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_the_spans_of_the_tokens_are_those_of_the_words(kind: str, scheme: Any, data: Any) -> None:
    words, spans = data.draw(tagged_rows(scheme))
    labels = LABELS[scheme]
    row = encoded(kind, words, tags_of(spans, words=len(words), scheme=scheme), labels)
    all_tokens = with_all_tokens(row, labels).token_columns
    targets = np.flatnonzero(all_tokens["labels"] != IGNORED)
    word_of = all_tokens["words"][targets]
    found = spans_of([labels[label] for label in all_tokens["labels"][targets]], scheme)
    assert isinstance(found, list), "the tags of the tokens are correct in their scheme"
    assert [Span(int(word_of[span.start]), int(word_of[span.end - 1]) + 1, span.type) for span in found] == spans


@pytest.mark.parametrize("scheme", ["iob2", "bioes"])
@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_the_first_token_of_each_word_keeps_its_tag_and_no_other_word_gets_one(
    kind: str, scheme: Any, data: Any
) -> None:
    words, spans = data.draw(tagged_rows(scheme))
    row = encoded(kind, words, tags_of(spans, words=len(words), scheme=scheme), LABELS[scheme])
    before, after = row.token_columns, with_all_tokens(row, LABELS[scheme]).token_columns
    first = before["labels"] != IGNORED
    assert (after["labels"][first] == before["labels"][first]).all()
    assert (after["words"] == before["words"]).all()
    assert (after["labels"][before["words"] < 0] == IGNORED).all()


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        pytest.param(["O"], ["O", "O", "O"], id="outside"),
        pytest.param(["B-PER"], ["B-PER", "I-PER", "I-PER"], id="begin"),
        pytest.param(["I-PER"], ["I-PER", "I-PER", "I-PER"], id="inside"),
        pytest.param(["E-PER"], ["E-PER", None, None], id="nothing can follow an end"),
        pytest.param(["S-PER"], ["S-PER", None, None], id="nothing can follow a single word"),
    ],
)
def test_the_further_tokens_of_a_word_go_on_as_the_scheme_allows(tags: list[str], expected: list[str | None]) -> None:
    labels = LABELS["bioes"]
    ids = [IGNORED if tag is None else labels.index(tag) for tag in [None, *expected, None]]
    assert with_all_tokens(row_of_one_word(labels.index(tags[0])), labels).token_columns["labels"].tolist() == ids


def row_of_one_word(label: int, *, cut: int = 0) -> EncodedRow:
    """Return a word of three tokens between two special tokens; cut: how many of its tokens are gone."""
    columns = {"labels": [IGNORED, label, IGNORED, IGNORED, IGNORED], "words": [-1, 0, 0, 0, -1]}
    kept = [0, *range(1 + cut, 5)]
    arrays = {name: np.array(values, dtype=np.int32)[kept] for name, values in columns.items()}
    return EncodedRow(input_ids=np.arange(len(kept), dtype=np.int32), token_columns=arrays)


def test_a_tag_that_is_no_label_is_not_made_up() -> None:
    labels = ("O", "B-PER")
    found = with_all_tokens(row_of_one_word(1), labels).token_columns["labels"]
    assert found.tolist() == [IGNORED, 1, IGNORED, IGNORED, IGNORED]


def test_a_word_whose_first_token_was_cut_has_no_target() -> None:
    found = with_all_tokens(row_of_one_word(1, cut=1), LABELS["iob2"]).token_columns["labels"]
    assert (found == IGNORED).all()
