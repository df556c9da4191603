"""Writes one split: shards of tokens, and the file of the rows themselves (layout: `shards`)."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from safetensors.numpy import save_file

from tuneloop_trainer.dataset.sequences import columns_of
from tuneloop_trainer.dataset.shard_file import ROW_PREFIX, TOKEN_PREFIX
from tuneloop_trainer.dataset.shards import (
    IGNORED,
    LABELS,
    ROW_ID,
    Shard,
    SplitFiles,
    TextFile,
)
from tuneloop_trainer.durable import file_sha256

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

TOKENS_PER_SHARD = 8_388_608
"""32 MiB of ids: what writing holds in memory."""


class RowWriter:
    """Writes a split's rows as they were read, batch by batch."""

    def __init__(self, folder: Path, split: str, *, schema: pa.Schema) -> None:
        self._path = folder / f"{split}-00000.parquet"
        self._schema = schema.insert(0, pa.field(ROW_ID, pa.int64()))
        self._writer = pq.ParquetWriter(self._path, self._schema, compression="zstd")
        self._rows = 0

    def write(self, rows: Sequence[tuple[int, Mapping[str, Any]]]) -> None:
        """Append rows, each with its id (one row group)."""
        written = [{ROW_ID: row_id, **row} for row_id, row in rows]
        self._writer.write_table(pa.Table.from_pylist(written, schema=self._schema))
        self._rows += len(rows)

    def close(self) -> None:
        """End the file; without its end the file is not readable."""
        self._writer.close()

    def finish(self) -> TextFile:
        """Close the file and describe it."""
        self.close()
        return TextFile(file=self._path.name, rows=self._rows, sha256=file_sha256(self._path))


class ShardWriter:
    """Writes a split's tokens, a shard whenever enough have come. All rows must have the same columns."""

    def __init__(self, folder: Path, split: str, *, tokens_per_shard: int = TOKENS_PER_SHARD) -> None:
        self._folder, self._split, self._most = folder, split, tokens_per_shard
        self._rows: list[_Row] = []
        self._tokens = 0
        self._shards: list[Shard] = []
        self._row_columns: list[str] = []
        self._token_columns: list[str] = []
        self._sequences: list[str] = []

    def add(
        self,
        *,
        ids: NDArray[np.int32],
        row: int,
        row_columns: Mapping[str, int | float] = MappingProxyType({}),
        token_columns: Mapping[str, NDArray[np.int32]] = MappingProxyType({}),
        sequences: Mapping[str, NDArray[np.int32]] = MappingProxyType({}),
    ) -> None:
        """Append one row, cut already. `ids` and each token column: int32 [length >= 1]. `sequences`: int32 of any length."""
        if self._tokens and self._tokens + len(ids) > self._most:
            self._flush()
        self._row_columns, self._token_columns = sorted(row_columns), sorted(token_columns)
        self._sequences = sorted(sequences)
        self._rows.append(
            _Row(ids=ids, row=row, row_columns=row_columns, token_columns=token_columns, sequences=sequences)
        )
        self._tokens += len(ids)

    def finish(self, texts: Iterable[TextFile]) -> SplitFiles:
        """Write what is left and describe the split."""
        if self._rows:
            self._flush()
        return SplitFiles(
            rows=sum(shard.rows for shard in self._shards),
            tokens=sum(shard.tokens for shard in self._shards),
            row_columns=self._row_columns,
            token_columns=self._token_columns,
            sequences=self._sequences,
            shards=self._shards,
            texts=list(texts),
        )

    def _flush(self) -> None:
        path = self._folder / f"{self._split}-{len(self._shards):05d}.safetensors"
        rows = self._rows
        columns: dict[str, NDArray[Any]] = {
            "input_ids": np.concatenate([row.ids for row in rows]).astype(np.int32, copy=False),
            "offsets": np.cumsum([0, *(len(row.ids) for row in rows)], dtype=np.int64),
            "rows": np.array([row.row for row in rows], dtype=np.int64),
            "targets": np.array([count_targets(row.token_columns, row.sequences) for row in rows], dtype=np.int64),
        }
        for name in self._row_columns:
            columns[ROW_PREFIX + name] = column_of_rows([row.row_columns[name] for row in rows])
        for name in self._token_columns:
            values = np.concatenate([row.token_columns[name] for row in rows])
            columns[TOKEN_PREFIX + name] = values.astype(np.int32, copy=False)
        for name in self._sequences:
            columns |= columns_of(name, [row.sequences[name] for row in rows])
        save_file(columns, path)
        self._shards.append(Shard(file=path.name, rows=len(rows), tokens=self._tokens, sha256=file_sha256(path)))
        self._rows, self._tokens = [], 0


@dataclass(frozen=True, kw_only=True, slots=True)
class _Row:
    ids: NDArray[np.int32]
    row: int
    row_columns: Mapping[str, int | float]
    token_columns: Mapping[str, NDArray[np.int32]]
    sequences: Mapping[str, NDArray[np.int32]]


def column_of_rows(values: Sequence[int | float]) -> NDArray[Any]:
    """Return the values of a row column, float64 where a task gives floats, else int64, [n]."""
    return np.array(values, dtype=np.float64 if isinstance(values[0], float) else np.int64)


def count_targets(
    token_columns: Mapping[str, NDArray[np.int32]], sequences: Mapping[str, NDArray[np.int32]] = MappingProxyType({})
) -> int:
    """Return how many things the loss is taken over in a row: the tokens that it writes, its tokens with a label, or the row itself where it has neither."""
    if LABELS in sequences:
        return len(sequences[LABELS])
    labels = token_columns.get(LABELS)
    return 1 if labels is None else int((labels != IGNORED).sum())
