"""A long text is cut before it is tokenized; the tokens are those of the whole text, for tokenizers of all kinds."""

from __future__ import annotations

import functools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_models import WORDS, tiny_tokenizers
from tokenizers import Tokenizer, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from tuneloop_server.errors import RequestError
from tuneloop_server.runtimes.tokenizer import TextTokenizer, windows_of

UNDIVIDED = "Unigram, not divided into words"
"""As many SentencePiece models are: no token goes on after a space, so words are independent."""
ACROSS_SPACES = "BPE, spaces as letters"
"""A token may hold the end of one word and the begin of the next."""
KINDS = [
    UNDIVIDED,
    ACROSS_SPACES,
    "WordPiece",
    "WordPiece, cased",
    "words",
    "byte-level BPE",
    "byte-level BPE, prefix space",
    "byte-level BPE, offsets with spaces",
    "byte-level BPE behind a regex",
    "Unigram, always a prefix",
    "Unigram, first a prefix",
    "Unigram, never a prefix",
    "Unigram behind whitespace",
]
PIECES = [
    *WORDS[:12], *("Ab", "unhappily", "1234567", "3.14", "café", "cafe\u0301", "Zürich", "日本語", "🙂", "👩‍👩‍👧", "ﷺ", "Σς", "don't", "<s>", "</s>"),
    *(" ",) * 12, *("  ", "\n", "\n\n", " \t ", "\r\n", "\u00a0", "\u3000"),
    *(",", ". ", "...", "!!\n\n", " (", ")", "-", "_", "▁", "##", "\u0301\u0323", "\u200d", "\x00"),
]  # fmt: skip
"""Words of all kinds, spaces, and what makes tokenizers look at their neighbours."""

texts = st.builds(
    lambda unit, times, pieces: "".join(unit) * times + "".join(pieces),
    st.lists(st.sampled_from(PIECES), min_size=1, max_size=30),
    st.integers(1, 300),
    st.lists(st.sampled_from(PIECES), max_size=400),
)
"""A part that repeats, so that texts of thousands of characters are drawn fast, and one that does not."""


def test_the_list_of_tokenizers_is_whole():
    assert set(trained()) == set(KINDS)


@functools.cache
def trained() -> dict:
    kinds = tiny_tokenizers()
    words = Tokenizer.from_str(kinds["Unigram, never a prefix"].backend_tokenizer.to_str())
    words.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always", split=False)
    return kinds | {UNDIVIDED: PreTrainedTokenizerFast(tokenizer_object=words)}


def tokenizer_of(kind: str, *, side: str = "right"):
    tokenizer = trained()[kind]
    tokenizer.truncation_side = side
    return tokenizer


@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=20)
@given(long=texts, max_tokens=st.integers(3, 40))
def test_the_tokens_of_a_long_text_are_those_of_the_whole_text(kind, side, long, max_tokens):
    tokenizer = tokenizer_of(kind, side=side)
    # from now on the tokenizer reads special tokens as text
    under_test = TextTokenizer(tokenizer, max_tokens=max_tokens, needs_offsets=True, max_windows=256)
    expected = tokenizer(long, truncation=True, max_length=max_tokens, return_offsets_mapping=True)
    ((window,),) = under_test.encode([long], stride=None)
    assert window.ids == expected["input_ids"]
    assert window.offsets == expected["offset_mapping"]
    assert window.truncated == (len(tokenizer(long)["input_ids"]) > max_tokens)


class Read:
    """A tokenizer that notes how many characters it was given."""

    def __init__(self, tokenizer) -> None:
        self._tokenizer = tokenizer
        self.characters = 0

    def __getattr__(self, name):
        return getattr(self._tokenizer, name)

    def encode(self, text):
        self.characters += len(text)
        return self._tokenizer.encode(text)

    def encode_batch_fast(self, texts):
        self.characters += sum(map(len, texts))
        return self._tokenizer.encode_batch_fast(texts)


@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != ACROSS_SPACES])
def test_of_a_long_text_only_a_part_is_read(kind, side):
    under_test = TextTokenizer(tokenizer_of(kind, side=side), max_tokens=64, needs_offsets=False, max_windows=256)
    under_test._tokenizer = read = Read(under_test._tokenizer)
    under_test.encode([" ".join(WORDS) * 200], stride=None)
    assert read.characters < 5000


@pytest.mark.parametrize(
    ("kind", "text"),
    [("byte-level BPE", "a" * 10_000), (ACROSS_SPACES, "a good film " * 1000), (UNDIVIDED, "日" * 10_000)],
)
def test_a_text_without_a_safe_place_is_read_as_a_whole(kind, text):
    under_test = TextTokenizer(tokenizer_of(kind), max_tokens=64, needs_offsets=False, max_windows=256)
    under_test._tokenizer = read = Read(under_test._tokenizer)
    under_test.encode([text], stride=None)
    assert read.characters >= len(text)


@given(tokens=st.integers(0, 200), room=st.integers(1, 20), stride=st.integers(0, 19))
def test_the_windows_of_a_text_are_counted_as_the_tokenizer_makes_them(tokens, room, stride):
    if stride >= room:
        return
    under_test = TextTokenizer(tokenizer_of("words"), max_tokens=room + 2, needs_offsets=False, max_windows=256)
    (windows,) = under_test.encode(["film " * tokens], stride=stride)
    assert len(windows) == windows_of(tokens, room=room, stride=stride)


def test_too_many_windows_are_refused_before_they_are_made():
    under_test = TextTokenizer(tokenizer_of("words"), max_tokens=130, needs_offsets=False, max_windows=256)
    message = "inputs: the texts make 19873 windows, at most 256 are allowed in one request"
    with pytest.raises(RequestError, match=message):
        under_test.encode(["film " * 20_000], stride=127)
