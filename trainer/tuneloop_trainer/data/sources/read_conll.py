"""Reads CoNLL files: one token a line, its tag in the last column, an empty line after each sentence."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tuneloop_trainer.data.sources.bounded_lines import CutLine
from tuneloop_trainer.data.sources.excerpt import excerpt_of
from tuneloop_trainer.data.sources.raw import LONGEST_ROW, BadReason, RawBatch, RawRow, WantedColumns
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


@dataclass
class _Sentence:
    """Lines of a sentence with their numbers; the lines past the longest row are counted only."""

    lines: list[tuple[int, str]] = field(default_factory=list)
    characters: int = 0

    def add(self, number: int, line: str) -> None:
        self.characters += LONGEST_ROW + 1 if isinstance(line, CutLine) else len(line)
        if not self.lines or self.characters <= LONGEST_ROW:
            self.lines.append((number, line))


def _sentences(lines: Iterable[str]) -> Iterator[RawRow]:
    sentence = _Sentence()
    for number, line in enumerate(lines, start=1):
        if isinstance(line, CutLine) or (line.strip() and not line.startswith(_DOCUMENT)):
            sentence.add(number, line)
        elif sentence.lines:
            yield _row(sentence)
            sentence = _Sentence()
    if sentence.lines:
        yield _row(sentence)


def _row(sentence: _Sentence) -> RawRow:
    first, beginning = sentence.lines[0]
    if sentence.characters > LONGEST_ROW:
        return RawRow(first, problem=BadReason.TOO_LONG, excerpt=excerpt_of(beginning))
    tokens, tags = [], []
    for number, line in sentence.lines:
        cells = [cell.strip() for cell in line.split("\t")] if "\t" in line.strip() else line.split()
        if len(cells) < 2:
            found = excerpt_of(line, about=f"line {number} has a token and no tag")
            return RawRow(first, problem=BadReason.MISSING_TAGS, excerpt=found)
        tokens.append(cells[0])
        tags.append(cells[-1])
    return RawRow(first, (tokens, tags))
