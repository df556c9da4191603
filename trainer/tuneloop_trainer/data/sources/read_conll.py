"""Reads CoNLL files: one token a line, its tag in the last column, an empty line after each sentence."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneloop_trainer.data.sources.raw import BadReason, RawBatch, RawRow, WantedColumns, excerpt_of
from tuneloop_trainer.data.sources.read_lines import batches, decoded_lines
from tuneloop_trainer.errors import ConfigError, DataError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tuneloop_trainer.locate import DataFile

_DOCUMENT = "-DOCSTART-"


def read_conll(file: DataFile, *, wanted: WantedColumns, field: str) -> Iterator[RawBatch]:
    """Read a CoNLL file; a row is a sentence, its cells are the list of tokens and the list of tags.

    Columns are separated by tabs, or by spaces where a line has no tab. A line that begins with -DOCSTART- only ends a sentence.
    Raises ConfigError if a group is wanted, DataError if the rows are of another format than `tokens-tags`.
    """
    if wanted.group is not None:
        raise ConfigError(
            f"data.split.groupBy: {file.name} has no column names",
            hint="leave groupBy out, or convert the file to JSON lines",
        )
    if list(wanted.columns) != ["tokens", "tags"]:
        raise DataError(
            f"{file.name}: a CoNLL file holds tokens and tags; this task learns from the columns {', '.join(wanted.columns)}",
            hint=f"give {field} another file, or set task: token-classification",
        )
    with file.path.open(encoding="utf-8-sig") as lines:
        yield from batches(_sentences(decoded_lines(lines, file=file)), lines=lines, file=file)


def _sentences(lines: Iterable[str]) -> Iterator[RawRow]:
    sentence: list[tuple[int, str]] = []
    for number, line in enumerate(lines, start=1):
        if line.strip() and not line.startswith(_DOCUMENT):
            sentence.append((number, line))
        elif sentence:
            yield _row(sentence)
            sentence = []
    if sentence:
        yield _row(sentence)


def _row(sentence: list[tuple[int, str]]) -> RawRow:
    first = sentence[0][0]
    tokens, tags = [], []
    for number, line in sentence:
        cells = [cell.strip() for cell in line.split("\t")] if "\t" in line.strip() else line.split()
        if len(cells) < 2:
            found = f"line {number} has a token and no tag: {line.strip()}"
            return RawRow(first, problem=BadReason.MISSING_TAGS, excerpt=excerpt_of(found))
        tokens.append(cells[0])
        tags.append(cells[-1])
    return RawRow(first, (tokens, tags))
