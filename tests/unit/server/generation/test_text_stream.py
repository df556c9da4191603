"""Text of tokens that come one by one: never half a character, and together what all tokens are at once."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models

from tuneloop_server.generation.text_stream import TextStream

BYTES = {f"<0x{byte:02X}>": byte for byte in range(256)}
WORDS = ["▁a", "▁film", "film", "s", ".", "▁", "東", "😀"]
SENTENCEPIECE = Tokenizer(models.BPE(BYTES | {word: 256 + index for index, word in enumerate(WORDS)}, []))
SENTENCEPIECE.decoder = decoders.Sequence(
    [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
)
"""Decodes as Llama's first tokenizers do: bytes of characters that it has no token for, and no space at the beginning of a text."""


def decode_bytes(ids):
    return bytes(ids).decode(errors="replace")


def texts(ids, decode):
    stream = TextStream(decode)
    return [*(stream.push(token) for token in ids), stream.rest()]


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        pytest.param("a😀b", ["a", "", "", "", "😀", "b", ""], id="four bytes"),
        pytest.param("é", ["", "é", ""], id="two bytes"),
    ],
)
def test_a_character_waits_for_its_last_byte(written, expected):
    assert texts(written.encode(), decode_bytes) == expected


def test_bytes_that_are_no_character_do_not_hold_up_what_follows():
    assert texts(b"\xff\xfe\xfda", decode_bytes) == ["", "", "", "\ufffd\ufffd\ufffda", ""]
    assert texts(b"\xff" * 70, decode_bytes)[:64] == [*[""] * 63, "\ufffd" * 63]


def test_an_answer_that_ends_inside_a_character_ends_with_a_replacement_as_in_transformers():
    assert texts("ab😀".encode()[:-1], decode_bytes) == ["a", "b", "", "", "", "\ufffd"]


@settings(max_examples=150, deadline=None)
@given(st.lists(st.integers(0, 255), max_size=90))
def test_together_the_texts_are_all_bytes_decoded_at_once(ids):
    assert "".join(texts(ids, decode_bytes)) == decode_bytes(ids)


PARTS = [*([256 + word] for word in range(len(WORDS))), *(list(character.encode()) for character in "é東😀")]


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(PARTS), max_size=60))
def test_the_same_for_a_tokenizer_that_cuts_the_first_space_and_doubts_bytes_in_a_row(parts):
    ids = [token for part in parts for token in part]
    out = texts(ids, SENTENCEPIECE.decode)
    assert "".join(out) == SENTENCEPIECE.decode(ids)
    assert "\ufffd" not in "".join(out)


def test_bytes_of_a_character_that_is_not_whole_are_never_decoded_without_its_first_ones():
    for before in range(40):
        written = [256] * before + list("é😀😀".encode())
        assert "".join(texts(written, SENTENCEPIECE.decode)) == SENTENCEPIECE.decode(written), before


def test_what_is_decoded_again_does_not_grow_with_the_answer():
    lengths = []

    def decode(ids):
        lengths.append(len(ids))
        return decode_bytes(ids)

    texts(b"a" * 500, decode)
    assert max(lengths) < 40
