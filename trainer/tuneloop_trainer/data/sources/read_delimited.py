"""Reads CSV and TSV files. A quote that was meant as text is found, and does not take in the rows behind it."""

from __future__ import annotations

import csv
import itertools
from collections import Counter, deque
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from tuneloop_trainer.data.sources.bounded_lines import CutLine, bounded_lines
from tuneloop_trainer.data.sources.excerpt import NOTHING, Excerpt, excerpt_of
from tuneloop_trainer.data.sources.raw import (
    LONGEST_ROW,
    QUOTES,
    BadReason,
    RawBatch,
    RawRow,
    WantedColumns,
    column_positions,
    raw_row,
)
from tuneloop_trainer.data.sources.read_lines import batches, decoded_lines
from tuneloop_trainer.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tuneloop_trainer.locate import DataFile

_LARGEST_CELL = 2**31 - 1
_SAMPLED_LINES = 20_000
_SURE_LINES = 3
"""If one quoted cell of a TSV file holds this many whole rows, they are rows and no text: a text hardly holds tabs."""
_QUOTE = '"'
_LINE_ENDS = ("\n", "\r")
_LONGEST_ANSWER = 1024
"""Longer answers are not compared with those of other rows."""
_GIVEN_BACK = 67_108_864
"""Characters of a file that may be read a second time. Without a limit, a quote in every line would make the reader go through the rest of the file for every line."""


def read_delimited(file: DataFile, *, wanted: WantedColumns, field: str) -> Iterator[RawBatch]:
    """Read CSV or TSV as RFC 4180 has it: the first line names the columns; quoted cells may hold quotes and line breaks.

    A row whose quote takes in rows behind it, or is never closed, is a bad row; the rows behind it are read.
    """
    csv.field_size_limit(_LARGEST_CELL)
    delimiter = "\t" if file.format == "tsv" else ","
    with file.path.open(encoding="utf-8-sig", newline="") as lines:
        source = _Lines(decoded_lines(lines, file=file, ends=_LINE_ENDS), file=file)
        header = _header(source, delimiter=delimiter, file=file)
        positions = column_positions(header, wanted=wanted, file=file.name, field=field)
        answer = positions[1 : len(wanted.columns)][:1]
        rows_in_cells = _RowsInCells(file=file, delimiter=delimiter, width=len(header), answer=answer)
        rows = (
            _row(record, positions=positions, width=len(header), wanted=wanted)
            for record in _records(source, rows_in_cells, delimiter=delimiter)
        )
        yield from batches(rows, lines=lines, file=file)


@dataclass(frozen=True, kw_only=True)
class _Record:
    """What the lines of one row hold."""

    line: int
    """The first line of the row."""
    cells: list[str]
    problem: BadReason | None = None
    found: Excerpt = NOTHING
    """What is wrong, where `problem` is set."""


class _RowTooLong(Exception):  # noqa: N818  (ends the reading of a row, which is then a bad row)
    """The lines of a row have more characters than a row may have."""


class _Lines:
    """The lines of a file; those of a record can be given back."""

    def __init__(self, lines: Iterator[str], *, file: DataFile) -> None:
        self._lines, self._file = lines, file
        self._may_give_back = _GIVEN_BACK + 8 * file.path.stat().st_size
        self._given_back: deque[str] = deque()
        self.number = 0
        """The last line that was taken; from 1."""
        self.taken: list[str] = []
        """Lines since the last call of `begin`."""
        self._characters = 0
        """Of `taken`."""

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._given_back.popleft() if self._given_back else next(self._lines)
        self.number += 1
        self.taken.append(line)
        self._characters += len(line)
        if isinstance(line, CutLine) or (len(self.taken) > 1 and self._characters > LONGEST_ROW):
            raise _RowTooLong
        return line

    def begin(self) -> int:
        """Begin a record; returns the number of its first line."""
        self.taken, self._characters = [], 0
        return self.number + 1

    def give_back(self, kept: int) -> None:
        """Give back all taken lines except the first `kept`. Raises DataError if too much of the file is read again."""
        self._given_back.extendleft(reversed(self.taken[kept:]))
        self._may_give_back -= self._characters
        if self._may_give_back < 0:
            raise DataError(
                f"{self._file.name}: too many quotes take in the rows behind them, at last that of line {self.number - len(self.taken) + 1}",
                hint=QUOTES,
            )
        self.number -= len(self.taken) - kept


@dataclass(frozen=True, kw_only=True)
class _RowsInCells:
    """Decides whether the lines inside a quoted cell are lines of a text, or rows that a quote has swallowed by mistake."""

    file: DataFile
    delimiter: str
    width: int
    """Cells of a row."""
    answer: tuple[int, ...]
    """Position of the column with what the model learns to answer, such as the label; empty if there is none."""

    def are_rows(self, lines: list[str]) -> bool:
        """Return whether most lines of a record are rows of their own. The last line does not count."""
        inner = [line.rstrip("\r\n").split(self.delimiter) for line in lines[:-1]]
        if len(inner[0]) < self.width:  # a row whose quote is text has all its cells in its own line
            return False
        whole = [cells for cells in inner if len(cells) == self.width and all(cells)]
        if self.delimiter == "\t" and len(whole) >= _SURE_LINES and len(whole) * 2 > len(inner):
            return True
        return sum(map(self._has_known_answer, inner)) * 2 > len(inner)

    def _has_known_answer(self, cells: list[str]) -> bool:
        """Return whether a line has enough cells for a row, and the answer of other rows stands in it.

        The text may hold commas. So the place of the answer is counted from either end of the line.
        """
        return len(cells) >= self.width and any(
            cells[place].strip(_QUOTE) in self._answers
            for position in self.answer
            for place in (position, position - self.width)
        )

    @cached_property
    def _answers(self) -> frozenset[str]:
        """The answers that stand in at least two rows, among the first lines of the file. Only rows of one line count."""
        counts: Counter[str] = Counter()
        with self.file.path.open(encoding="utf-8-sig", errors="replace", newline="") as lines:
            for line in itertools.islice(bounded_lines(lines, ends=_LINE_ENDS), _SAMPLED_LINES):
                cells = next(csv.reader([line], delimiter=self.delimiter), [])
                if len(cells) == self.width:
                    counts.update(
                        cells[position] for position in self.answer if len(cells[position]) <= _LONGEST_ANSWER
                    )
        return frozenset(value for value, count in counts.items() if count > 1 and value)


def _records(lines: _Lines, rows_in_cells: _RowsInCells, *, delimiter: str) -> Iterator[_Record]:
    while True:
        first = lines.begin()
        record = _record(lines, delimiter=delimiter, first=first)
        if record is None:
            return
        count = len(lines.taken)
        if record.problem is BadReason.OPEN_QUOTE or (count > 1 and rows_in_cells.are_rows(lines.taken)):
            last = first + count - 1
            is_open = record.problem is BadReason.OPEN_QUOTE
            about = record.found.about if is_open else f"the quote takes in the lines to {last}"
            found = excerpt_of(lines.taken[0], about=about)
            lines.give_back(kept=1)
            yield _Record(line=first, cells=[], problem=BadReason.OPEN_QUOTE, found=found)
        elif record.cells or record.problem is not None:
            yield record


def _record(lines: _Lines, *, delimiter: str, first: int) -> _Record | None:
    """Return the next record, without cells for an empty line; None at the end of the file."""
    try:
        return _Record(line=first, cells=next(csv.reader(lines, delimiter=delimiter, strict=True)))
    except StopIteration:
        return None
    except csv.Error as error:
        if "unexpected end" in str(error):
            return _Record(
                line=first, cells=[], problem=BadReason.OPEN_QUOTE, found=Excerpt(about="the quote is never closed")
            )
        return _Record(
            line=first, cells=[], problem=BadReason.MALFORMED_CSV, found=excerpt_of(lines.taken[0], about=str(error))
        )
    except _RowTooLong:
        if len(lines.taken) == 1:
            return _Record(line=first, cells=[], problem=BadReason.TOO_LONG, found=excerpt_of(lines.taken[0]))
        found = Excerpt(about=f"the quote is not closed within {LONGEST_ROW:,} characters")
        return _Record(line=first, cells=[], problem=BadReason.OPEN_QUOTE, found=found)


def _header(lines: _Lines, *, delimiter: str, file: DataFile) -> list[str]:
    record = _record(lines, delimiter=delimiter, first=1)
    while record is not None and not record.cells and record.problem is None:
        record = _record(lines, delimiter=delimiter, first=lines.begin())
    if record is None:
        raise DataError(f"{file.name}: the file is empty; its first line must name the columns")
    if record.problem is not None:
        is_open_quote = record.problem is BadReason.OPEN_QUOTE
        why = record.found.about if is_open_quote else f"{record.problem}: {record.found.masked}"
        raise DataError(
            f"{file.name}: line {record.line}: the column names cannot be read: {why}",
            hint=QUOTES if is_open_quote else None,
        )
    if any("\0" in cell for cell in record.cells):
        raise DataError(
            f"{file.name}: line {record.line}: the column names hold zero bytes: the file is UTF-16, or no text",
            hint="convert the file, for example: iconv -f UTF-16LE -t utf-8 old > new",
        )
    return record.cells


def _row(record: _Record, *, positions: tuple[int, ...], width: int, wanted: WantedColumns) -> RawRow:
    if record.problem is not None:
        return RawRow(record.line, problem=record.problem, excerpt=record.found)
    cells = record.cells
    if len(cells) != width:
        found = excerpt_of(", ".join(cells), about=f"{len(cells)} cells, the header has {width}")
        return RawRow(record.line, problem=BadReason.WRONG_CELLS, excerpt=found)
    return raw_row(record.line, [cells[position] for position in positions], wanted=wanted)
