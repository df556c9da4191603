"""Reads Parquet files and the Arrow files of `datasets.save_to_disk`: a batch of rows at a time, only the wanted columns."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

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
            batches = parquet.iter_batches(batch_size=_ROWS_AT_A_TIME, columns=names)
            yield from _raw_batches(batches, names=names, classes=_class_names(schema, names[1]), total=total)
    except (pa.ArrowException, OSError) as error:
        raise _unreadable(file, error) from error


def read_arrow(file: DataFile, *, wanted: WantedColumns, field: str) -> Iterator[RawBatch]:
    """Read an Arrow stream file, memory-mapped."""
    try:
        with pa.memory_map(str(file.path)) as source, pa.ipc.open_stream(source) as stream:
            schema = stream.schema
            positions = column_positions(schema.names, wanted=wanted, file=file.name, field=field)
            names = [schema.names[position] for position in positions]
            size = max(1, source.size())
            first = 1
            for batch in stream:
                for start in range(0, batch.num_rows, _ROWS_AT_A_TIME):
                    part = batch.slice(start, _ROWS_AT_A_TIME)
                    rows = _raw_rows(part, names=names, classes=_class_names(schema, names[1]), first=first)
                    yield RawBatch(rows, min(1.0, source.tell() / size))
                    first += part.num_rows
    except (pa.ArrowException, OSError) as error:
        raise _unreadable(file, error) from error


def _raw_batches(
    batches: Iterator[pa.RecordBatch], *, names: list[str], classes: list[str] | None, total: int
) -> Iterator[RawBatch]:
    first = 1
    for batch in batches:
        rows = _raw_rows(batch, names=names, classes=classes, first=first)
        first += batch.num_rows
        yield RawBatch(rows, (first - 1) / max(1, total))


def _raw_rows(batch: pa.RecordBatch, *, names: list[str], classes: list[str] | None, first: int) -> list[RawRow]:
    columns = [batch.column(name).to_pylist() for name in names]
    if classes is not None:
        columns[1] = [_class_name(value, classes) for value in columns[1]]
    return [raw_row(first + index, cells) for index, cells in enumerate(zip(*columns, strict=True))]


def _class_names(schema: pa.Schema, label: str) -> list[str] | None:
    """Return the names of a `ClassLabel` column, which `datasets` keeps in the schema's metadata."""
    written = (schema.metadata or {}).get(b"huggingface")
    if written is None:
        return None
    try:
        feature = json.loads(written)["info"]["features"][label]
        return list(feature["names"]) if feature.get("_type") == "ClassLabel" else None
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def _class_name(value: object, classes: list[str]) -> object:
    """Return the name of a class id; `datasets` writes -1 where there is no label."""
    if isinstance(value, int):
        return classes[value] if 0 <= value < len(classes) else None
    return value


def _unreadable(file: DataFile, error: Exception) -> DataError:
    return DataError(f"{file.name}: is damaged, or no {file.format} file: {str(error).splitlines()[0]}")
