"""The texts of all usable rows, on disk between the passes: they need not fit into memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

import pyarrow as pa

from tuneloop_trainer.data.sources.raw import BATCH_CHARACTERS, BATCH_ROWS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_SCHEMA = pa.schema([("text", pa.string())])


class TextSpool:
    """Writes texts in order, compressed, in batches of bounded size."""

    def __init__(self, path: Path) -> None:
        self._sink = pa.OSFile(str(path), "wb")
        self._stream = pa.ipc.new_stream(self._sink, _SCHEMA, options=pa.ipc.IpcWriteOptions(compression="zstd"))
        self._texts: list[str] = []
        self._characters = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._flush()
        self._stream.close()
        self._sink.close()

    def add(self, text: str) -> None:
        """Append a text."""
        self._texts.append(text)
        self._characters += len(text)
        if len(self._texts) >= BATCH_ROWS or self._characters >= BATCH_CHARACTERS:
            self._flush()

    def _flush(self) -> None:
        if self._texts:
            self._stream.write_batch(pa.record_batch([pa.array(self._texts, pa.string())], schema=_SCHEMA))
        self._texts, self._characters = [], 0


def read_spool(path: Path) -> Iterator[list[str]]:
    """Yield the texts in order, batch by batch."""
    with pa.OSFile(str(path), "rb") as source, pa.ipc.open_stream(source) as stream:
        for batch in stream:
            yield batch.column("text").to_pylist()
