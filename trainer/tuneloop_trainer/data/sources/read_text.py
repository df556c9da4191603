"""Reads plain text files: a document a line."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneloop_trainer.data.sources.bounded_lines import CutLine
from tuneloop_trainer.data.sources.excerpt import excerpt_of
from tuneloop_trainer.data.sources.raw import BadReason, RawBatch, RawRow, WantedColumns
from tuneloop_trainer.data.sources.read_lines import batches, decoded_lines
from tuneloop_trainer.errors import ConfigError, DataError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tuneloop_trainer.locate import DataFile


def read_text(file: DataFile, *, wanted: WantedColumns, field: str) -> Iterator[RawBatch]:
    """Read a text file; a row is a line that is not blank, its only cell is the line without its end.

    Raises ConfigError if a group is wanted, DataError if the rows are of another format than `text`.
    """
    if wanted.group is not None:
        raise ConfigError(
            f"data.split.groupBy: {file.name} has no column names",
            hint="leave groupBy out, or convert the file to JSON lines",
        )
    if list(wanted.columns) != ["text"]:
        raise DataError(
            f"{file.name}: a .txt file holds texts alone; this task learns from the columns {', '.join(wanted.columns)}",
            hint=f'give {field} a file with these columns, such as JSON lines: {{"{next(iter(wanted.columns))}": …}}',
        )
    with file.path.open(encoding="utf-8-sig") as lines:
        yield from batches(_documents(decoded_lines(lines, file=file)), lines=lines, file=file)


def _documents(lines: Iterable[str]) -> Iterator[RawRow]:
    for number, line in enumerate(lines, start=1):
        if isinstance(line, CutLine):
            yield RawRow(number, problem=BadReason.TOO_LONG, excerpt=excerpt_of(line))
        elif line.strip():
            yield RawRow(number, (line.rstrip("\n"),))
