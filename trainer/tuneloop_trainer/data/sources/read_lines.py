"""Reads JSON-lines files, and the lines of any text file: UTF-8, a batch of rows at a time."""

from __future__ import annotations

import codecs
import itertools
import json
from typing import TYPE_CHECKING, TextIO

from tuneloop_trainer.data.sources.bounded_lines import CutLine, bounded_lines
from tuneloop_trainer.data.sources.excerpt import excerpt_of
from tuneloop_trainer.data.sources.raw import (
    BATCH_CHARACTERS,
    BATCH_ROWS,
    BadReason,
    RawBatch,
    RawRow,
    WantedColumns,
    characters_of,
    column_positions,
    raw_row,
)
from tuneloop_trainer.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tuneloop_trainer.locate import DataFile

_UNPACK = "unpack it, and give the unpacked file"
_BINARY = {
    b"\x1f\x8b": ("a gzip file", "unpack it, for example: gunzip -c old > new, and give the unpacked file"),
    b"BZh": ("a bzip2 file", _UNPACK),
    b"\xfd7zXZ\x00": ("an xz file", _UNPACK),
    b"\x28\xb5\x2f\xfd": ("a zstd file", _UNPACK),
    b"PK\x03\x04": ("a zip file or a spreadsheet", "unpack it, or save the table as .csv"),
    b"PAR1": ("a Parquet file", "name it .parquet"),
}
"""How files begin that are no text, what they are, and what to do."""
_PIECE_BYTES = 1_048_576
_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def read_json_lines(file: DataFile, *, wanted: WantedColumns, field: str) -> Iterator[RawBatch]:
    """Read one JSON object a line. Each wanted column must stand in some object of the first batch."""
    with file.path.open(encoding="utf-8-sig", newline="\n") as lines:
        values = _json_values(decoded_lines(lines, file=file), file=file)
        first = _first_batch(values)
        known = list(dict.fromkeys(name for _, value, _ in first if isinstance(value, dict) for name in value))
        positions = column_positions(known, wanted=wanted, file=file.name, field=field) if known else ()
        names = tuple(known[position] for position in positions) or wanted.names
        rows = (
            _json_row(number, value, names=names, wanted=wanted) for number, value, _ in itertools.chain(first, values)
        )
        yield from batches(rows, lines=lines, file=file)


def _first_batch(values: Iterator[tuple[int, object, int]]) -> list[tuple[int, object, int]]:
    first, characters = [], 0
    for value in values:
        first.append(value)
        characters += value[2]
        if len(first) >= BATCH_ROWS or characters >= BATCH_CHARACTERS:
            break
    return first


def _json_values(lines: Iterator[str], *, file: DataFile) -> Iterator[tuple[int, object, int]]:
    """Yield (line, object, characters), or (line, text, characters) where the line is no JSON object."""
    written = (
        (number, line) for number, line in enumerate(lines, start=1) if isinstance(line, CutLine) or line.strip()
    )
    for index, (number, line) in enumerate(written):
        if index == 0 and line.lstrip().startswith("["):
            raise DataError(
                f"{file.name}: holds a JSON array; one object a line is needed",
                hint="convert it: jq -c '.[]' old.json > new.jsonl",
            )
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):
            value = None
        yield number, value if isinstance(value, dict) else line, len(line)


def _json_row(number: int, value: object, *, names: tuple[str, ...], wanted: WantedColumns) -> RawRow:
    if isinstance(value, CutLine):
        return RawRow(number, problem=BadReason.TOO_LONG, excerpt=excerpt_of(value))
    if not isinstance(value, dict):
        return RawRow(number, problem=BadReason.MALFORMED_JSON, excerpt=excerpt_of(value))
    return raw_row(number, [value.get(name) for name in names], wanted=wanted)


def batches(rows: Iterator[RawRow], *, lines: TextIO, file: DataFile) -> Iterator[RawBatch]:
    """Yield rows in batches of bounded size, each with the part of the file that was read for it."""
    size = max(1, file.path.stat().st_size)
    batch: list[RawRow] = []
    characters = 0
    for row in rows:
        batch.append(row)
        characters += characters_of(row)
        if len(batch) >= BATCH_ROWS or characters >= BATCH_CHARACTERS:
            yield RawBatch(batch, min(1.0, lines.buffer.tell() / size))
            batch, characters = [], 0
    if batch:
        yield RawBatch(batch, 1.0)


def decoded_lines(lines: TextIO, *, file: DataFile, ends: tuple[str, ...] = ("\n",)) -> Iterator[str]:
    """Yield the lines of a text file, as `bounded_lines` does. Raises DataError if it is no text file, or naming the first byte that is not UTF-8."""
    _refuse_binary(file)
    try:
        yield from bounded_lines(lines, ends=ends)
    except UnicodeDecodeError as error:
        raise _wrong_encoding(file.path, name=file.name) from error


def _refuse_binary(file: DataFile) -> None:
    with file.path.open("rb") as opened:
        beginning = opened.read(max(map(len, _BINARY)))
    for mark, (kind, advice) in _BINARY.items():
        if beginning.startswith(mark):
            raise DataError(f"{file.name}: is {kind}, not text", hint=advice)


def _wrong_encoding(path: Path, *, name: str) -> DataError:
    """Find the first byte that is not UTF-8: the decoder of the file knows only the byte's place in a buffer."""
    line, offset = 1, 0
    decoder = codecs.getincrementaldecoder("utf-8")()
    with path.open("rb") as file:
        known = "UTF-16" if file.read(2) in _UTF16 else "windows-1252"
        file.seek(0)
        while piece := file.read(_PIECE_BYTES):
            offset += len(piece)
            try:
                line += decoder.decode(piece, final=len(piece) < _PIECE_BYTES).count("\n")
            except UnicodeDecodeError as error:
                line += error.object[: error.start].count(b"\n")
                byte = offset - len(error.object) + error.start
                return DataError(
                    f"{name}: line {line}, byte {byte} (0x{error.object[error.start]:02x}) is not UTF-8",
                    hint=f"convert the file, for example: iconv -f {known} -t utf-8 old > new",
                )
    return DataError(f"{name}: is not UTF-8")
