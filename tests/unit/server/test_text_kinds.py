"""What is wrong with a text, whatever its language."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuneloop_server.text_kinds import LOOK_BACK, TextKinds

SOUND = [
    "A joy from start to finish.",
    "«\u00a0Un café très élégant, à Paris\u00a0»",
    "»Großer Spaß« für jung und alt – „Äpfel“",
    "«CAFÉ» E «PÃO»: SÃO PAULO",
    "Ñandú, Østerbro, Île-de-France, Ångström",
    "Отличный фильм – «Ирония судьбы»",
    "素晴らしい映画でした",
    "שלום ×3",
    "👍👍",
    "3\u00a0×\u00a05 cm, Ø\u00a050 mm, 10\u00a0Å\u00a0",
    "EI TÄTÄ… ”HOLD PÅ” »HYVÄ» MAÇÃ– LEIÐ’",
]
BLANK = ["", " ", "\n\t", "\u00a0\u3000"]
PAIRS = ["é", "ß", "Ä", "ñ", "ж", "я", "λ", "ש", "ع", "’", "“", "–", "…"]


@pytest.mark.parametrize("text", SOUND)
def test_a_text_of_any_language_is_sound(text: str) -> None:
    assert TextKinds().kind_of(text) == "sound"


@pytest.mark.parametrize("text", BLANK, ids=repr)
def test_a_text_without_a_letter_or_sign_is_blank(text: str) -> None:
    assert TextKinds().kind_of(text) == "blank"


@pytest.mark.parametrize("letter", PAIRS)
@pytest.mark.parametrize("encoding", ["latin-1", "cp1252"])
def test_utf8_that_was_read_in_another_encoding_is_garbled(letter: str, encoding: str) -> None:
    text = f"a {letter} b".encode().decode(encoding, errors="replace")
    assert TextKinds().kind_of(text) == "garbled"


@pytest.mark.parametrize("text", ["piszą", "à Paris", "voilà", "Škoda jedzą", "PL’ŻE"])
def test_a_letter_that_may_stand_before_a_quotation_mark_or_a_space_is_found_too(text: str) -> None:
    assert TextKinds().kind_of(text.encode().decode("cp1252", errors="replace")) == "garbled"


@pytest.mark.parametrize("text", ["caf\ufffd", "caf\x82"], ids=repr)
def test_what_another_encoding_leaves_in_utf8_is_garbled(text: str) -> None:
    assert TextKinds().kind_of(text) == "garbled"


def test_a_text_that_comes_again_among_the_newest_is_repeated() -> None:
    kinds = TextKinds()
    assert [kinds.kind_of("same") for _ in range(3)] == ["sound", "repeated", "repeated"]
    for number in range(LOOK_BACK):
        assert kinds.kind_of(f"text {number}") == "sound"
    assert kinds.kind_of("same") == "sound"


@given(st.lists(st.text(max_size=5), max_size=200))
def test_every_text_has_a_kind_and_none_is_remembered_for_long(texts: list[str]) -> None:
    kinds = TextKinds()
    for number, text in enumerate(texts):
        found = kinds.kind_of(text)
        if found == "repeated":
            assert text in texts[max(0, number - LOOK_BACK) : number]
