"""Writes one split: shards of tokens and the file of raw texts (layout: `shards`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from safetensors.numpy import save_file

from tuneloop_trainer.dataset.shards import Shard, SplitFiles, TextFile
from tuneloop_trainer.durable import file_sha256

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

TOKENS_PER_SHARD = 8_388_608
"""32 MiB of ids: what writing holds in memory."""
TEXT_SCHEMA = pa.schema([("row", pa.int64()), ("text", pa.string()), ("label", pa.string())])


class TextWriter:
    """Writes a split's raw texts, batch by batch."""

    def __init__(self, folder: Path, split: str) -> None:
        self._path = folder / f"{split}-00000.parquet"
        self._writer = pq.ParquetWriter(self._path, TEXT_SCHEMA, compression="zstd")
        self._rows = 0

    def write(self, *, rows: Sequence[int], texts: Sequence[str], labels: Sequence[str]) -> None:
        """Append rows (one row group)."""
        self._writer.write_table(pa.table([list(rows), list(texts), list(labels)], schema=TEXT_SCHEMA))
        self._rows += len(rows)

    def close(self) -> None:
        """End the file; without it the file is not readable."""
        self._writer.close()

    def finish(self) -> TextFile:
        """Close the file and describe it."""
        self.close()
        return TextFile(file=self._path.name, rows=self._rows, sha256=file_sha256(self._path))


class ShardWriter:
    """Writes a split's tokens, a shard whenever enough have come."""

    def __init__(self, folder: Path, split: str, *, tokens_per_shard: int = TOKENS_PER_SHARD) -> None:
        self._folder, self._split, self._most = folder, split, tokens_per_shard
        self._ids: list[NDArray[np.int32]] = []
        self._labels: list[int] = []
        self._rows: list[int] = []
        self._tokens = 0
        self._shards: list[Shard] = []

    def add(self, *, ids: NDArray[np.int32], label: int, row: int) -> None:
        """Append one row; `ids` int32 [length >= 1], cut already."""
        if self._tokens and self._tokens + len(ids) > self._most:
            self._flush()
        self._ids.append(ids)
        self._labels.append(label)
        self._rows.append(row)
        self._tokens += len(ids)

    def finish(self, texts: Iterable[TextFile]) -> SplitFiles:
        """Write what is left and describe the split."""
        if self._ids:
            self._flush()
        return SplitFiles(
            rows=sum(shard.rows for shard in self._shards),
            tokens=sum(shard.tokens for shard in self._shards),
            shards=self._shards,
            texts=list(texts),
        )

    def _flush(self) -> None:
        path = self._folder / f"{self._split}-{len(self._shards):05d}.safetensors"
        lengths = [len(ids) for ids in self._ids]
        save_file(
            {
                "input_ids": np.concatenate(self._ids).astype(np.int32, copy=False),
                "offsets": np.cumsum([0, *lengths], dtype=np.int64),
                "labels": np.array(self._labels, dtype=np.int64),
                "rows": np.array(self._rows, dtype=np.int64),
            },
            path,
        )
        self._shards.append(
            Shard(file=path.name, rows=len(lengths), tokens=self._tokens, sha256=file_sha256(path)),
        )
        self._ids, self._labels, self._rows, self._tokens = [], [], [], 0
