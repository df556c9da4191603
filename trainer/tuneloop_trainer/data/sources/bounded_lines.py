"""Reads the lines of a text file. A line of any length takes bounded memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, TextIO

from tuneloop_trainer.data.sources.excerpt import EXCERPT_CHARACTERS
from tuneloop_trainer.data.sources.raw import LONGEST_ROW

if TYPE_CHECKING:
    from collections.abc import Iterator

_PIECE = 65_536
"""Characters that are skipped at a time."""


class CutLine(str):
    """The beginning of a line that is longer than a row may be."""

    __slots__ = ()


def bounded_lines(lines: TextIO, *, ends: tuple[str, ...] = ("\n",)) -> Iterator[str]:
    """Yield the lines; a line of more than `LONGEST_ROW` characters as a `CutLine`, whose rest is skipped. ends: the line ends of the file's mode."""
    while line := lines.readline(LONGEST_ROW + 1):
        if len(line) <= LONGEST_ROW or line.endswith(ends):
            yield line
            continue
        yield CutLine(line[: 2 * EXCERPT_CHARACTERS])
        del line
        while (piece := lines.readline(_PIECE)) and not piece.endswith(ends):
            pass
