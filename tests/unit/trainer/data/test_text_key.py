"""Which texts count as the same text."""

from __future__ import annotations

import pytest

from tuneloop_trainer.data.text_key import text_key


@pytest.mark.parametrize(
    ("text", "other"),
    [
        ("A  b\n", "a B"),
        ("ﬁlm", "film"),
        ("e\u0301", "\u00e9"),
        ("Straße", "STRASSE"),
        ("\uff26ilm", "film"),  # a full-width F
        ("10\u00b2", "102"),  # a raised 2
    ],
)
def test_case_white_space_and_unicode_form_do_not_make_a_text_another(text, other):
    assert text_key(text) == text_key(other)


def test_two_texts_are_not_the_same_as_one_that_joins_them():
    assert len({text_key("a", "b"), text_key("a b"), text_key("ab"), text_key("b", "a")}) == 4


def test_punctuation_makes_a_text_another():
    assert text_key("a film!") != text_key("a film?")
