"""Reads Parquet files and the Arrow files of `datasets.save_to_disk`: a batch of rows at a time, only the wanted columns."""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tuneloop_trainer.data.sources.arrow_sizes import decoded_bytes, is_compressed
from tuneloop_trainer.data.sources.parquet_pages import rows_at_a_time
from tuneloop_trainer.data.sources.raw import (
    BATCH_CHARACTERS,
    BATCH_ROWS,
    LONGEST_ROW,
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

    from tuneloop_trainer.locate import DataFile

_ROWS_AT_A_TIME = BATCH_ROWS // 4
_LONGEST_ROW_BYTES = 4 * LONGEST_ROW
"""A row with more bytes has more characters than a row may have, whatever they are."""
_DAMAGED = (pa.ArrowException, OSError, ValueError, struct.error)


def read_parquet(file: DataFile, *, wanted: WantedColumns, field: str) -> Iterator[RawBatch]:
    """Read a Parquet file. As many rows are decoded at a time as fit into bounded memory, whatever the file's encodings make of its bytes."""
    try:
        with file.path.open("rb") as headers, _opened(file, wanted=wanted, field=field) as parquet:
            metadata = parquet.metadata
            columns = _columns(parquet.schema_arrow, wanted=wanted, file=file, field=field)
            leaves = _leaves(metadata, columns.names)
            first = 1
            for index in range(metadata.num_row_groups):
                group = metadata.row_group(index)
                rows = rows_at_a_time(headers, group, leaves, name=file.name, most=_ROWS_AT_A_TIME)
                names = list(dict.fromkeys(columns.names))
                for batch in parquet.iter_batches(batch_size=rows, row_groups=[index], columns=names):
                    for part in _parts(batch, columns):
                        raw = _raw_rows(part, columns, first=first)
                        first += part.num_rows
                        yield RawBatch(raw, (first - 1) / max(1, metadata.num_rows))
    except _DAMAGED as error:
        raise _unreadable(file, error) from error


def read_arrow(file: DataFile, *, wanted: WantedColumns, field: str) -> Iterator[RawBatch]:
    """Read an Arrow stream file, memory-mapped. Raises DataError for compressed batches; `datasets` writes none."""
    try:
        if is_compressed(file.path):
            raise DataError(f"{file.name}: has compressed batches", hint="write it with datasets.save_to_disk")
        with pa.memory_map(str(file.path)) as source, pa.ipc.open_stream(source) as stream:
            columns = _columns(stream.schema, wanted=wanted, file=file, field=field)
            size = max(1, source.size())
            first = 1
            for batch in stream:
                whole = batch.select(list(dict.fromkeys(columns.names)))
                whole.validate(full=True)
                for start in range(0, whole.num_rows, _ROWS_AT_A_TIME):
                    for part in _parts(whole.slice(start, _ROWS_AT_A_TIME), columns):
                        yield RawBatch(_raw_rows(part, columns, first=first), min(1.0, source.tell() / size))
                        first += part.num_rows
    except _DAMAGED as error:
        raise _unreadable(file, error) from error


def _opened(file: DataFile, *, wanted: WantedColumns, field: str) -> pq.ParquetFile:
    """Open a file so that texts in lists stay in their dictionary: a row may use a long text any number of times."""
    metadata = pq.read_metadata(file.path)
    columns = _columns(metadata.schema.to_arrow_schema(), wanted=wanted, file=file, field=field)
    lists = [leaf.path for _, leaf in _leaves(metadata, columns.names) if leaf.max_repetition_level > 0]
    return pq.ParquetFile(file.path, metadata=metadata, read_dictionary=lists, buffer_size=1_048_576, pre_buffer=False)


def _leaves(metadata: pq.FileMetaData, names: list[str]) -> list[tuple[int, pq.ColumnSchema]]:
    """Return the leaf columns that are read for these columns, each with its index."""
    leaves = [(index, metadata.schema.column(index)) for index in range(metadata.num_columns)]
    return [(index, leaf) for index, leaf in leaves if any(f"{leaf.path}.".startswith(f"{name}.") for name in names)]


def _parts(batch: pa.RecordBatch, columns: _Columns) -> Iterator[pa.RecordBatch]:
    """Yield the rows in parts of bounded size; a single row may have any size."""
    if batch.num_rows > 1 and _bytes_of(batch, columns) > BATCH_CHARACTERS:
        half = batch.num_rows // 2
        yield from _parts(batch.slice(0, half), columns)
        yield from _parts(batch.slice(half), columns)
    elif batch.num_rows:
        yield batch


def _bytes_of(batch: pa.RecordBatch, columns: _Columns) -> int:
    return sum(decoded_bytes(batch.column(name)) for name in set(columns.names))


@dataclass(frozen=True, kw_only=True)
class _Columns:
    wanted: WantedColumns
    names: list[str]
    """As the file spells them, in the order of `wanted.names`."""
    classes: list[list[str] | None]
    """Names of the classes that a column holds as numbers, for each column."""


def _columns(schema: pa.Schema, *, wanted: WantedColumns, file: DataFile, field: str) -> _Columns:
    positions = column_positions(schema.names, wanted=wanted, file=file.name, field=field)
    names = [schema.names[position] for position in positions]
    features = _features(schema)
    return _Columns(wanted=wanted, names=names, classes=[_class_names(features.get(name)) for name in names])


def _raw_rows(batch: pa.RecordBatch, columns: _Columns, *, first: int) -> list[RawRow]:
    if batch.num_rows == 1 and _bytes_of(batch, columns) > _LONGEST_ROW_BYTES:
        return [RawRow(first, problem=BadReason.TOO_LONG)]
    values = []
    for name, classes in zip(columns.names, columns.classes, strict=True):
        column = _values(batch.column(name))
        values.append(column if classes is None else [_class_name(value, classes) for value in column])
    cells = zip(*values, strict=True)
    rows = (raw_row(first + index, row, wanted=columns.wanted) for index, row in enumerate(cells))
    return [
        row if characters_of(row) <= LONGEST_ROW else RawRow(row.number, problem=BadReason.TOO_LONG) for row in rows
    ]


def _values(column: pa.Array) -> list[Any]:
    """Return the values of a column; numbers as the file's own type writes them: 0.1 of 32 bits is 0.1, and a decimal is a plain number."""
    if pa.types.is_float16(column.type) or pa.types.is_float32(column.type):
        as_written = np.dtype(column.type.to_pandas_dtype()).type
        return [None if value is None else float(str(as_written(value))) for value in column.to_pylist()]
    if pa.types.is_decimal(column.type):
        return [None if value is None else _plain(value) for value in column.to_pylist()]
    return list(column.to_pylist())


def _plain(value: Decimal) -> float | str:
    """Return a decimal as a number, or as text where no float has its value."""
    if value == value.to_integral_value():
        return int(value)
    return float(value) if Decimal(repr(float(value))) == value else f"{value.normalize():f}"


def _features(schema: pa.Schema) -> dict[str, Any]:
    """Return the features that `datasets` describes in the schema's metadata, by column."""
    written = (schema.metadata or {}).get(b"huggingface")
    if written is None:
        return {}
    try:
        return dict(json.loads(written)["info"]["features"])
    except (ValueError, KeyError, TypeError):
        return {}


def _class_names(feature: object) -> list[str] | None:
    """Return the names of a `ClassLabel` column, or of a column of lists of them."""
    if isinstance(feature, dict) and feature.get("_type") in {"Sequence", "List", "LargeList"}:
        feature = feature.get("feature")
    if isinstance(feature, list) and len(feature) == 1:
        feature = feature[0]
    if (
        not isinstance(feature, dict)
        or feature.get("_type") != "ClassLabel"
        or not isinstance(feature.get("names"), list)
    ):
        return None
    return [str(name) for name in feature["names"]]


def _class_name(value: object, classes: list[str]) -> object:
    """Return the name of a class id, or the names of a list of them; `datasets` writes -1 where there is no label."""
    if isinstance(value, list):
        return [_class_name(item, classes) for item in value]
    if isinstance(value, int):
        return classes[value] if 0 <= value < len(classes) else None
    return value


def _unreadable(file: DataFile, error: Exception) -> DataError:
    return DataError(f"{file.name}: is damaged, or no {file.format} file: {str(error).splitlines()[0]}")
