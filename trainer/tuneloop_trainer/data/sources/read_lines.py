"""Reads JSON-lines files, and the lines of any text file: UTF-8, a batch of rows at a time."""

from __future__ import annotations

import codecs
import itertools
import json
from typing import TYPE_CHECKING, TextIO

from tuneloop_trainer.data.sources.raw import (
    BATCH_CHARACTERS,
    BATCH_ROWS,
    BadReason,
    RawBatch,
    RawRow,
    WantedColumns,
    characters_of,
    column_positions,
    excerpt_of,
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
_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def read_json_lines(file: DataFile, *, wanted: WantedColumns, field: str) -> Iterator[RawBatch]:
    """Read one JSON object a line. Each wanted column must stand in some object of the first batch."""
    with file.path.open(encoding="utf-8-sig", newline="\n") as lines:
        values = _json_values(decoded_lines(lines, file=file), file=file)
        first = list(itertools.islice(values, BATCH_ROWS))
        known = list(dict.fromkeys(name for _, value in first if isinstance(value, dict) for name in value))
        positions = column_positions(known, wanted=wanted, file=file.name, field=field) if known else ()
        names = tuple(known[position] for position in positions) or wanted.names
        rows = (
            _json_row(number, value, names=names, wanted=wanted) for number, value in itertools.chain(first, values)
        )
        yield from batches(rows, lines=lines, file=file)


def _json_values(lines: Iterator[str], *, file: DataFile) -> Iterator[tuple[int, object]]:
    """Yield (line, object), or (line, text) where the line is no JSON object."""
    written = ((number, line) for number, line in enumerate(lines, start=1) if line.strip())
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
        yield number, value if isinstance(value, dict) else line


def _json_row(number: int, value: object, *, names: tuple[str, ...], wanted: WantedColumns) -> RawRow:
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


def decoded_lines(lines: TextIO, *, file: DataFile) -> Iterator[str]:
    """Yield the lines of a text file. Raises DataError if it is no text file, or naming the first byte that is not UTF-8."""
    _refuse_binary(file)
    try:
        yield from lines
    except UnicodeDecodeError as error:
        raise _wrong_encoding(file.path, name=file.name) from error


def _refuse_binary(file: DataFile) -> None:
    with file.path.open("rb") as opened:
        beginning = opened.read(max(map(len, _BINARY)))
    for mark, (kind, advice) in _BINARY.items():
        if beginning.startswith(mark):
            raise DataError(f"{file.name}: is {kind}, not text", hint=advice)


def _wrong_encoding(path: Path, *, name: str) -> DataError:
    """Find the first byte that is not UTF-8: the decoder knows only the byte's place in a buffer."""
    offset = 0
    with path.open("rb") as file:
        beginning = file.read(2)
        file.seek(0)
        for number, line in enumerate(file, start=1):
            try:
                line.decode("utf-8")
            except UnicodeDecodeError as error:
                byte = line[error.start]
                where = f"line {number}, byte {offset + error.start} (0x{byte:02x})"
                known = "UTF-16" if beginning in _UTF16 else "windows-1252"
                return DataError(
                    f"{name}: {where} is not UTF-8",
                    hint=f"convert the file, for example: iconv -f {known} -t utf-8 old > new",
                )
            offset += len(line)
    return DataError(f"{name}: is not UTF-8")
