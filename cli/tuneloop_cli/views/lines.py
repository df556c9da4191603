"""The lines of a page: fields, sections, aligned columns, wrapped text. Pure."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any

from tuneloop_cli.views.values import text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

WIDTH = 110
"""Characters of a line. Only a word that cannot be broken, such as a path, makes a line longer."""
_NAME = 20
"""Width of the names within a section."""
_INDENT = 2


def field(name: str, value: Any) -> str:
    """Return a line of the page's head; an empty one for None."""
    return f"{name + ':':<13}{text(value)}" if value is not None else ""


def section(title: str, lines: Iterable[str]) -> Iterator[str]:
    """Yield a title and its indented lines; nothing if there are no lines."""
    body = [f"{' ' * _INDENT}{line}" for line in lines if line]
    if body:
        yield f"{title}:"
        yield from body


def pair(name: str, value: Any) -> Iterator[str]:
    """Yield a name and its value; nothing for None. A long value is wrapped and aligned below its beginning."""
    if value is None:
        return
    first, *rest = wrapped(_shown(value), width=WIDTH - _NAME - _INDENT) or [""]
    yield f"{name + ':':<{_NAME}}{first}"
    yield from (f"{'':<{_NAME}}{line}" for line in rest)


def pairs(values: dict[str, Any] | None) -> Iterator[str]:
    """Yield all fields of a mapping, under their own names."""
    for name, value in (values or {}).items():
        yield from pair(name, value)


def columns(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> Iterator[str]:
    """Yield aligned columns under a header; nothing without rows. A column without any value is left out."""
    cells = [[text(cell) for cell in row] for row in rows]
    used = [index for index in range(len(header)) if any(row[index] for row in cells)]
    if not used:
        return
    lines = [[row[index] for index in used] for row in (header, *cells)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        yield "   ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()


def wrapped(value: str, *, width: int) -> list[str]:
    """Return text in lines of at most this width. Line breaks of the text stay; a word longer than the width stays whole."""
    return [
        line
        for paragraph in value.splitlines()
        for line in textwrap.wrap(paragraph, width, break_long_words=False, break_on_hyphens=False)
    ]


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {text(inner)}" for key, inner in value.items())
    if isinstance(value, list):
        return ", ".join(text(item) for item in value)
    return text(value)
