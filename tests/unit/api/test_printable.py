"""Control characters and changes of direction do not reach a terminal; a plain text stays as it is."""

from __future__ import annotations

import logging
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuneloop_api.wire.printable import PrintableFormatter, printable, printable_values

BIDI = {*range(0x202A, 0x202F), *range(0x2066, 0x206A)}


@given(st.text())
def test_no_unsafe_character_is_left(text) -> None:
    shown = printable(text)
    unsafe = {c for c in shown if (unicodedata.category(c) in {"Cc", "Cs"} and c not in "\t\n") or ord(c) in BIDI}
    assert unsafe == set()
    assert printable(shown) == shown


@given(st.text(st.characters(exclude_categories=["C", "Zl", "Zp"])))
def test_a_plain_text_stays(text) -> None:
    assert printable(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred", r"\x1b[31mred"),
        ("10%\r100%", r"10%\x0d100%"),
        ("\x9b2J", r"\x9b2J"),
        ("a\u202eb\u2066c", r"a\u202eb\u2066c"),
        ("half \ud800", r"half \ud800"),
        ("one\n\ttwo", "one\n\ttwo"),
    ],
)
def test_each_is_an_escape(text, shown) -> None:
    assert printable(text) == shown


def test_the_texts_of_json_data_are_printable_and_all_else_stays() -> None:
    data = {"message": "\x1b[2J", "count": 2, "lines": ["\r", None, {"deep": "\u202e"}]}
    assert printable_values(data) == {"message": r"\x1b[2J", "count": 2, "lines": [r"\x0d", None, {"deep": r"\u202e"}]}


def test_a_name_that_comes_from_data_is_printable_too() -> None:
    assert printable_values({"classes": {"\x1b[2J": 3}}) == {"classes": {r"\x1b[2J": 3}}


def test_a_log_line_is_printable_with_its_traceback() -> None:
    error = ValueError("\x1b]0;title\x07")
    failed = (type(error), error, None)
    record = logging.LogRecord("rows", logging.INFO, __file__, 1, "label %s", ("\x1b[2J",), failed)
    line = PrintableFormatter("%(message)s").format(record)
    assert "\x1b" not in line
    assert line.startswith(r"label \x1b[2J")
    assert line.endswith(r"\x1b]0;title\x07")
