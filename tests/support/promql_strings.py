"""Reads PromQL strings as its documentation says, letter by letter: what a test compares our escapes with."""

from __future__ import annotations

_SIMPLE = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", "\\": "\\"}
_DIGITS = {"x": 2, "u": 4, "U": 8}


def read_string(text: str, start: int) -> tuple[str, int]:
    """Return the value of the string that begins at `start`, and where it ends. Raises ValueError for what Prometheus refuses."""
    quote = text[start]
    if quote == "`":
        end = text.index("`", start + 1)
        return text[start + 1 : end], end + 1
    assert quote in "\"'", f"no string at {start}: {text}"
    value, place = [], start + 1
    while text[place] != quote:
        letter, place = _letter(text, place, quote)
        value.append(letter)
    return "".join(value), place + 1


def strings(text: str) -> list[str]:
    """Return the values of all strings of a query that has no comments."""
    found, place = [], 0
    while place < len(text):
        if text[place] in "\"'`":
            value, place = read_string(text, place)
            found.append(value)
        else:
            place += 1
    return found


def _letter(text: str, place: int, quote: str) -> tuple[str, int]:
    if text[place] in "\n\ufffd":
        raise ValueError(f"{text[place]!r} stands in a string")
    if text[place] != "\\":
        return text[place], place + 1
    kind = text[place + 1]
    if kind in _DIGITS:
        end = place + 2 + _DIGITS[kind]
        return chr(int(text[place + 2 : end], 16)), end
    if kind == quote:
        return quote, place + 2
    if kind not in _SIMPLE:
        raise ValueError(f"\\{kind} is no escape in {quote}")
    return _SIMPLE[kind], place + 2
