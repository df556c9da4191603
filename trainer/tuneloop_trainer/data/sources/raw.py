"""What the readers of all files return: raw rows in batches, and why a row cannot be used."""

from __future__ import annotations

import difflib
import unicodedata
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from tuneloop_trainer.data.sources.excerpt import EXCERPT_CHARACTERS, NOTHING, Excerpt, masked
from tuneloop_trainer.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

BATCH_ROWS = 2048
BATCH_CHARACTERS = 4_194_304
"""A batch ends at this many rows or characters, whichever comes first. So its memory is bounded."""
LONGEST_ROW = 4_194_304
"""Most characters of a row. War and Peace has 3.2 million. A batch holds fewer than two rows of this length."""
_COMPARED_NAMES = 1000
_LONGEST_NAME, _MOST_WORDS_OF_A_NAME = 48, 6
"""What is longer is no name of a column but a text."""
_NUMBER_CHARACTERS = 8
"""The memory of a number, or of a place in a list, counted in characters."""


QUOTES = 'put cells with quotes into quotes, and double the quotes inside: "she said ""yes"""'
"""What to do about quotes in a CSV file."""


class BadReason(StrEnum):
    """Why a row cannot be used."""

    TOO_LONG = f"row has more than {LONGEST_ROW:,} characters"
    MALFORMED_JSON = "malformed JSON"
    MALFORMED_CSV = "malformed quotes"
    OPEN_QUOTE = "a quote that takes in the rows behind it"
    WRONG_CELLS = "wrong number of cells"
    MISSING_TEXT = "missing text"
    BLANK_TEXT = "blank text"
    NOT_TEXT = "text is not a string"
    NOT_UNICODE = "text is not valid Unicode"
    MISSING_LABEL = "missing label"
    NOT_A_LABEL = "label is not a string, number or boolean"
    NOT_A_LIST = "label is not a list of labels"
    EMPTY_LABEL = "empty label in the list"
    LABEL_TWICE = "label twice in the list"
    LONG_LABEL = "label is longer than 128 characters"
    LABEL_NOT_UNICODE = "label is not valid Unicode"
    NOT_A_NUMBER = "label is not a number"
    NOT_A_SCORE = "label is not a finite number of at most 1e30"
    UNKNOWN_CLASS = "unknown class"
    MISSING_GROUP = "missing group"
    MISSING_TOKENS = "missing tokens"
    NOT_TOKENS = "tokens are not a list of strings"
    BLANK_WORD = "blank token"
    MISSING_TAGS = "missing tags"
    NOT_TAGS = "tags are not a list of strings"
    OTHER_LENGTH = "not as many tags as tokens"
    IMPOSSIBLE_TAG = "impossible tag"
    UNKNOWN_TAG = "unknown tag"
    MISSING_MESSAGES = "missing messages"
    NOT_MESSAGES = "messages are not a list of objects with a role (system, user or assistant) and a text as content"
    NO_ASSISTANT = "conversation without a turn of the assistant"
    EMPTY_ANSWER = "empty turn of the assistant"
    MISSING_PROMPT = "missing prompt"
    EMPTY_COMPLETION = "empty completion"
    MISSING_TARGET = "missing target"
    BLANK_TARGET = "blank target"
    LONG_TARGET = "target has more tokens than taskOptions.maxTargetTokens"
    TARGET_NOT_TEXT = "target is not a string"
    TARGET_NOT_UNICODE = "target is not valid Unicode"
    MISSING_CONTEXT = "missing context"
    MISSING_QUESTION = "missing question"
    MISSING_ANSWERS = "missing answers"
    NOT_ANSWERS = "answers are not lists of texts and starts"
    BLANK_ANSWER = "blank answer"
    ANSWER_OUTSIDE = "answer outside of the context"
    OTHER_ANSWER = "the context has another text at answer_start"
    NO_ANSWER = "question without an answer"


_OF_TEXT_GENERATION = {("messages",): "messages", ("prompt", "completion"): "prompt-completion", ("text",): "text"}
"""Columns of the formats between which a job has to choose: `auto` is the first."""


@dataclass(frozen=True, kw_only=True)
class WantedColumns:
    """The columns that are read."""

    columns: Mapping[str, str]
    """Name in the file of each column of the row format, such as `{"text": "review_body", "label": "stars"}`."""
    group: str | None = None
    """Column whose value rows of one group share."""

    @property
    def names(self) -> tuple[str, ...]:
        """Names in the file: those of the format in its order, then the group's."""
        return (*self.columns.values(), *(() if self.group is None else (self.group,)))


@dataclass(frozen=True, slots=True)
class RawRow:
    """One row as it stands in the file."""

    number: int
    """Line of a text file (the first line of the row), row of a table; from 1."""
    cells: tuple[Any, ...] = ()
    """Values of the format's columns, in its order. Empty where `problem` is set."""
    group: object = None
    problem: BadReason | None = None
    """Set by a reader that could not divide the row into cells."""
    excerpt: Excerpt = NOTHING
    """What was found, where `problem` is set."""


def raw_row(number: int, cells: Sequence[object], *, wanted: WantedColumns) -> RawRow:
    """Return a row from its cells in the order of `WantedColumns.names`."""
    width = len(wanted.columns)
    return RawRow(number, tuple(cells[:width]), group=cells[width] if wanted.group is not None else None)


def characters_of(row: RawRow) -> int:
    """Return the size of a row in characters. Numbers, and places in lists and objects, count `_NUMBER_CHARACTERS` each."""
    return sum(map(_characters, (*row.cells, row.group)))


def _characters(cell: object) -> int:
    if isinstance(cell, str):
        return len(cell)
    if isinstance(cell, list):
        return _NUMBER_CHARACTERS * len(cell) + sum(map(_characters, cell))
    if isinstance(cell, dict):
        return sum(_NUMBER_CHARACTERS + _characters(name) + _characters(value) for name, value in cell.items())
    return _NUMBER_CHARACTERS


@dataclass(frozen=True, slots=True)
class RawBatch:
    """Rows in order, and how much of the file was read for them."""

    rows: list[RawRow]
    fraction: float
    """Part of the file that is read, 0 to 1."""


def column_positions(header: Sequence[str], *, wanted: WantedColumns, file: str, field: str) -> tuple[int, ...]:
    """Return where the wanted columns stand. Unicode forms aside, names must agree exactly.

    Raises DataError if a column is missing (naming the columns that are there, and the nearest) or stands twice.
    """
    names = [unicodedata.normalize("NFC", name) for name in header]
    usual = ", ".join(f"{column}: …" for column in wanted.columns)
    advice = f"{_format_advice(names, wanted)}name the columns in {field}.columns: {{{usual}}}"
    return tuple(_position(names, column=column, file=file, advice=advice) for column in wanted.names)


def _format_advice(names: list[str], wanted: WantedColumns) -> str:
    """Return the advice to name another format of text generation, where the file has all of its columns."""
    if tuple(wanted.columns) not in _OF_TEXT_GENERATION or "text" in wanted.columns:  # other tasks, too, read texts
        return ""
    others = (name for columns, name in _OF_TEXT_GENERATION.items() if set(columns) <= set(names))
    return next((f"set data.format: {name}, or " for name in others), "")


def _position(names: list[str], *, column: str, file: str, advice: str) -> int:
    name = unicodedata.normalize("NFC", column)
    if names.count(name) > 1:
        raise DataError(f"{file}: the column {column!r} stands {names.count(name)} times; rename the others")
    if name in names:
        return names.index(name)
    there = ", ".join(repr(_shown(other)) for other in names[:30]) or "none"
    raise DataError(f"{file}: there is no column {column!r}; there are {there}", hint=_hint(names, column, advice))


def _shown(name: str) -> str:
    """Return a name as a message shows it. What is as long as a text may be the first row of a file without names: masked."""
    return masked(name[:EXCERPT_CHARACTERS]) if _is_text(name) else name


def _is_text(name: str) -> bool:
    return len(name) > _LONGEST_NAME or len(name.split()) > _MOST_WORDS_OF_A_NAME


def _hint(names: list[str], column: str, advice: str) -> str:
    separator = next((mark for mark in "\t;|," if len(names) == 1 and mark in names[0]), None)
    if separator is not None:
        return f"the cells are separated by {separator!r}: save the file with commas as .csv, or with tabs as .tsv"
    if any(map(_is_text, names)):
        return "the first line seems to be a row: put a line with the names of the columns before it"
    folded = {name.casefold().strip(): name for name in names[:_COMPARED_NAMES]}
    near = difflib.get_close_matches(column.casefold().strip(), folded, n=1)
    meant = f"did you mean {folded[near[0]]!r}? " if near else ""
    return f"{meant}{advice}"


def is_unicode(text: str) -> bool:
    """False for lone surrogates, which JSON can spell and UTF-8 cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
