"""What the readers of all formats hand on: raw rows in batches, and why a row cannot be used."""

from __future__ import annotations

import difflib
import unicodedata
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from tuneloop_trainer.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Sequence

BATCH_ROWS = 2048
BATCH_CHARACTERS = 4_194_304
"""A batch ends at either: what is held in memory is bounded for short texts and long ones."""
EXCERPT_CHARACTERS = 120


class BadReason(StrEnum):
    """Why a row cannot be used."""

    MALFORMED_JSON = "malformed JSON"
    MALFORMED_CSV = "malformed quotes"
    WRONG_CELLS = "wrong number of cells"
    MISSING_TEXT = "missing text"
    BLANK_TEXT = "blank text"
    NOT_TEXT = "text is not a string"
    NOT_UNICODE = "text is not valid Unicode"
    MISSING_LABEL = "missing label"
    NOT_A_LABEL = "label is not a string, number or boolean"
    LONG_LABEL = "label is longer than 128 characters"
    LABEL_NOT_UNICODE = "label is not valid Unicode"
    NOT_A_NUMBER = "label is not a number"
    UNKNOWN_CLASS = "unknown class"
    MISSING_GROUP = "missing group"


@dataclass(frozen=True, kw_only=True)
class WantedColumns:
    """The columns that are read."""

    text: str
    label: str
    group: str | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """Those that are wanted, in fixed order: text, label, group."""
        return (self.text, self.label) if self.group is None else (self.text, self.label, self.group)


@dataclass(frozen=True, slots=True)
class RawRow:
    """One row as it stands in the file."""

    number: int
    """Line of a text file (its first one), row of a table; from 1."""
    text: object = None
    label: object = None
    group: object = None
    problem: BadReason | None = None
    """Set by a reader that could not even tell the cells apart."""
    excerpt: str = ""
    """What was found, where `problem` is set."""


def raw_row(number: int, cells: Sequence[object]) -> RawRow:
    """Return a row from its cells in the order of `WantedColumns.names`."""
    return RawRow(number, text=cells[0], label=cells[1], group=cells[2] if len(cells) > 2 else None)


@dataclass(frozen=True, slots=True)
class RawBatch:
    """Rows in order, and how much of the file was read for them."""

    rows: list[RawRow]
    fraction: float
    """Part of the file that is read, 0 to 1."""


def column_positions(header: Sequence[str], *, wanted: WantedColumns, file: str, field: str) -> tuple[int, ...]:
    """Return where the wanted columns stand. Unicode forms aside, names must agree exactly.

    Raises DataError if one is missing (naming the columns that are there, and the nearest) or stands twice.
    """
    names = [unicodedata.normalize("NFC", name) for name in header]
    return tuple(_position(names, column=column, file=file, field=field) for column in wanted.names)


def _position(names: list[str], *, column: str, file: str, field: str) -> int:
    name = unicodedata.normalize("NFC", column)
    if names.count(name) > 1:
        raise DataError(f"{file}: the column {column!r} stands {names.count(name)} times; rename the others")
    if name in names:
        return names.index(name)
    there = ", ".join(repr(other) for other in names[:30]) or "none"
    raise DataError(f"{file}: there is no column {column!r}; there are {there}", hint=_advice(names, column, field))


def _advice(names: list[str], column: str, field: str) -> str:
    separator = next((mark for mark in "\t;|," if len(names) == 1 and mark in names[0]), None)
    if separator is not None:
        return f"the cells are separated by {separator!r}: save the file with commas as .csv, or with tabs as .tsv"
    folded = {name.casefold().strip(): name for name in names}
    near = difflib.get_close_matches(column.casefold().strip(), folded, n=1)
    meant = f"did you mean {folded[near[0]]!r}? " if near else ""
    return f"{meant}name the columns in {field}.columns: {{text: …, label: …}}"


def is_unicode(text: str) -> bool:
    """False for lone surrogates, which JSON can spell and UTF-8 cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def excerpt_of(value: object) -> str:
    """Return the beginning of a value on one line."""
    text = " ".join(str(value)[: EXCERPT_CHARACTERS * 2].split())
    text = text.encode("utf-8", errors="backslashreplace").decode()
    return text if len(text) <= EXCERPT_CHARACTERS else f"{text[:EXCERPT_CHARACTERS]}…"
