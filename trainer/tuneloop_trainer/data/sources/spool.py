"""The contents of rows, on disk between the passes: they need not fit into memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

import pyarrow as pa

from tuneloop_trainer.data.sources.raw import BATCH_CHARACTERS, BATCH_ROWS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tuneloop_trainer.tasks.task import Row


class RowSpool:
    """Writes rows of one schema in order, compressed, in batches of bounded size."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self._schema = schema
        self._sink = pa.OSFile(str(path), "wb")
        self._stream = pa.ipc.new_stream(self._sink, schema, options=pa.ipc.IpcWriteOptions(compression="zstd"))
        self._rows: list[Row] = []
        self._characters = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._flush()
        self._stream.close()
        self._sink.close()

    def add(self, row: Row, *, characters: int) -> None:
        """Append a row; `characters`: about how many it holds."""
        self._rows.append(row)
        self._characters += characters
        if len(self._rows) >= BATCH_ROWS or self._characters >= BATCH_CHARACTERS:
            self._flush()

    def _flush(self) -> None:
        if self._rows:
            self._stream.write_batch(pa.RecordBatch.from_pylist(self._rows, schema=self._schema))
        self._rows, self._characters = [], 0


def read_spool(path: Path) -> Iterator[list[Row]]:
    """Yield the rows in order, batch by batch."""
    with pa.OSFile(str(path), "rb") as source, pa.ipc.open_stream(source) as stream:
        for batch in stream:
            columns = [batch.column(name).to_pylist() for name in batch.schema.names]
            yield [dict(zip(batch.schema.names, values, strict=True)) for values in zip(*columns, strict=True)]
