"""Reads Parquet files and the Arrow files of `datasets.save_to_disk`: a batch of rows at a time, only the wanted columns."""

from __future__ import annotations

import json
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tuneloop_trainer.data.sources.raw import BATCH_ROWS, RawBatch, RawRow, WantedColumns, column_positions, raw_row
from tuneloop_trainer.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tuneloop_trainer.locate import DataFile

_ROWS_AT_A_TIME = BATCH_ROWS // 4
"""The width of the texts is not known before they are read."""


def read_parquet(file: DataFile, *, wanted: WantedColumns, field: str) -> Iterator[RawBatch]:
    """Read a Parquet file."""
    try:
        with pq.ParquetFile(file.path, buffer_size=1_048_576, pre_buffer=False) as parquet:
            schema, total = parquet.schema_arrow, parquet.metadata.num_rows
            positions = column_positions(schema.names, wanted=wanted, file=file.name, field=field)
            names = [schema.names[position] for position in positions]
            batches = parquet.iter_batches(batch_size=_ROWS_AT_A_TIME, columns=list(dict.fromkeys(names)))
            columns = _columns(schema, names, wanted=wanted)
            first = 1
            for batch in batches:
                rows = _raw_rows(batch, columns, first=first)
                first += batch.num_rows
                yield RawBatch(rows, (first - 1) / max(1, total))
    except (pa.ArrowException, OSError) as error:
        raise _unreadable(file, error) from error


def read_arrow(file: DataFile, *, wanted: WantedColumns, field: str) -> Iterator[RawBatch]:
    """Read an Arrow stream file, memory-mapped."""
    try:
        with pa.memory_map(str(file.path)) as source, pa.ipc.open_stream(source) as stream:
            schema = stream.schema
            positions = column_positions(schema.names, wanted=wanted, file=file.name, field=field)
            names = [schema.names[position] for position in positions]
            columns = _columns(schema, names, wanted=wanted)
            size = max(1, source.size())
            first = 1
            for batch in stream:
                for start in range(0, batch.num_rows, _ROWS_AT_A_TIME):
                    part = batch.slice(start, _ROWS_AT_A_TIME)
                    yield RawBatch(_raw_rows(part, columns, first=first), min(1.0, source.tell() / size))
                    first += part.num_rows
    except (pa.ArrowException, OSError) as error:
        raise _unreadable(file, error) from error


@dataclass(frozen=True, kw_only=True)
class _Columns:
    wanted: WantedColumns
    names: list[str]
    """As the file spells them, in the order of `wanted.names`."""
    classes: list[list[str] | None]
    """Names of the classes that a column holds as numbers, for each column."""


def _columns(schema: pa.Schema, names: list[str], *, wanted: WantedColumns) -> _Columns:
    features = _features(schema)
    return _Columns(wanted=wanted, names=names, classes=[_class_names(features.get(name)) for name in names])


def _raw_rows(batch: pa.RecordBatch, columns: _Columns, *, first: int) -> list[RawRow]:
    values = []
    for name, classes in zip(columns.names, columns.classes, strict=True):
        column = _values(batch.column(name))
        values.append(column if classes is None else [_class_name(value, classes) for value in column])
    cells = zip(*values, strict=True)
    return [raw_row(first + index, row, wanted=columns.wanted) for index, row in enumerate(cells)]


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
