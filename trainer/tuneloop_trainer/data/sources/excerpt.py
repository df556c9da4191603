"""Excerpts: the beginning of what a row holds, whole for the data report, masked for everything that more people can read.

A person who may see a job's status, its Events or its logs need not be one who may see its data. So a message names the place of a row and
shows the shape of its text, which is enough to find a missing quote: `{"text": "Well done", "label` → `{"xxxx": "Xxxx xxxx", "xxxxx`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from tuneloop_api.wire.printable import printable

EXCERPT_CHARACTERS = 120
_DIGIT = re.compile(r"[0-9]")
_UPPER_CASE = re.compile(r"[A-Z]")
_OTHER = re.compile(r"[a-z]|[^\x20-\x7e…]")
"""Small letters, and everything beyond ASCII: letters of other scripts, emoji. Spaces and ASCII punctuation stay as they are."""


@dataclass(frozen=True, slots=True)
class Excerpt:
    """What was found in a row, on one line that cannot steer a terminal."""

    quote: str = ""
    """The row's own text, or the beginning of it."""
    about: str = ""
    """What is wrong with it, in words that hold nothing of the row."""

    def __str__(self) -> str:
        return ": ".join(filter(None, (self.about, self.quote)))

    @property
    def masked(self) -> Excerpt:
        """Return it with the shape of the quote in place of the quote."""
        return replace(self, quote=masked(self.quote))


NOTHING = Excerpt()


def excerpt_of(value: object, *, about: str = "") -> Excerpt:
    """Return the beginning of a value."""
    try:
        whole = str(value)
    except RecursionError:
        return Excerpt(about=f"a {type(value).__name__} of many levels")
    text = printable(" ".join(whole[: EXCERPT_CHARACTERS * 2].split()))
    return Excerpt(text if len(text) <= EXCERPT_CHARACTERS else f"{text[:EXCERPT_CHARACTERS]}…", about)


def masked(text: str) -> str:
    """Return the shape of a text: 0 for a digit, X for a capital, x for any other letter and for whatever is not ASCII."""
    return _OTHER.sub("x", _UPPER_CASE.sub("X", _DIGIT.sub("0", text)))
