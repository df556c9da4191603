"""The prepared data set on disk: its manifest, and reading it back without loading it.

    <datasets>/<digest>/dataset.json             DatasetManifest, written last
                        train-00000.safetensors  input_ids int32 [T], offsets int64 [n+1], labels int64 [n], rows int64 [n]
                        train-00000.parquet      row int64, text string, label string: the raw texts in the same order
                        tokenizer/               the tokenizer's files
                        report.json              what became of the rows

A folder of that name is whole or absent: it is written under another name and renamed.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import ValidationError

from tuneloop_api.contract.results import DataCounts
from tuneloop_api.wire.model import WireModel
from tuneloop_trainer.errors import PreparedDataLostError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

MANIFEST = "dataset.json"
REPORT = "report.json"
TOKENIZER = "tokenizer"
_HEADER_LENGTH_BYTES = 8
_LONGEST_HEADER = 100_000_000


class Shard(WireModel):
    """One file of tokens."""

    file: str
    rows: int
    tokens: int
    sha256: str


class TextFile(WireModel):
    """One file of raw texts and labels."""

    file: str
    rows: int
    sha256: str


class SplitFiles(WireModel):
    """One split: its files in reading order."""

    rows: int
    tokens: int
    """Tokens after the cut to `max_tokens`, special tokens included."""
    shards: list[Shard]
    texts: list[TextFile]


class TokenizerFacts(WireModel):
    """What training needs to know about the tokenizer."""

    files_digest: str
    """SHA-256 over the tokenizer's files."""
    pad_token_id: int
    """The end-of-text token where the tokenizer has no padding token."""
    special_tokens: int
    """Tokens that are added around each text."""
    model_max_tokens: int | None = None
    """Longest input of the model; None: the model has no limit."""


class DatasetManifest(WireModel):
    """`dataset.json`."""

    version: Literal[1] = 1
    digest: str
    """The folder's name: a hash of all that the data depends on."""
    labels: list[str]
    """Class names in the order of their ids."""
    max_tokens: int
    tokenizer: TokenizerFacts
    splits: dict[str, SplitFiles]
    """train, validation, test."""
    counts: DataCounts


@dataclass(frozen=True, kw_only=True)
class TokenizedSplit:
    """The rows of one split, in reading order; N rows. Tokens stay on disk until they are asked for."""

    name: str
    lengths: NDArray[np.int64]
    """Tokens of each row, int64 [N]."""
    labels: NDArray[np.int64]
    """Class id of each row, int64 [N]."""
    rows: NDArray[np.int64]
    """Row id (order in which the sources were read), int64 [N]."""
    ids: tuple[NDArray[np.int32], ...]
    """Token ids of each shard, memory-mapped, int32 [tokens of the shard]."""
    first_rows: NDArray[np.int64]
    """Index of each shard's first row, and N at the end."""
    starts: NDArray[np.int64]
    """Where each row begins in its shard, int64 [N]."""

    @property
    def targets(self) -> NDArray[np.int64]:
        """Number of targets of each row, int64 [N]."""
        return np.ones(len(self.rows), dtype=np.int64)

    def row_column(self, name: str) -> NDArray[np.int64]:
        """Return a value for each row, int64 [N]."""
        return {"labels": self.labels}[name]

    def token_column(self, name: str, index: int) -> NDArray[np.int32]:
        """Return a value for each token of a row, int32 [lengths[index]]."""
        raise KeyError(name, index)

    def tokens(self, index: int) -> NDArray[np.int32]:
        """Return the token ids of a row, int32 [lengths[index]]: a read-only view of the file."""
        if not 0 <= index < len(self.lengths):
            raise IndexError(f"row {index} of {len(self.lengths)} in split {self.name}")
        shard = int(np.searchsorted(self.first_rows, index, side="right")) - 1
        start = self.starts[index]
        return self.ids[shard][start : start + self.lengths[index]]


def read_manifest(dataset: Path) -> DatasetManifest:
    """Read `dataset.json`. Raises PreparedDataLostError, naming the file, if it is missing or damaged."""
    path = dataset / MANIFEST
    try:
        return DatasetManifest.from_wire(json.loads(path.read_bytes()))
    except (OSError, ValueError, ValidationError) as error:
        raise _damaged(path, error) from error


def open_split(dataset: Path, split: str) -> TokenizedSplit:
    """Open a split of a prepared data set. Raises PreparedDataLostError, naming the file, if one is missing, cut off or damaged."""
    files = _split_files(dataset, split)
    shards = [_open_shard(dataset / shard.file, shard) for shard in files.shards]
    return TokenizedSplit(
        name=split,
        lengths=_joined([np.diff(shard.offsets) for shard in shards]),
        labels=_joined([shard.labels for shard in shards]),
        rows=_joined([shard.rows for shard in shards]),
        ids=tuple(shard.ids for shard in shards),
        first_rows=np.cumsum([0, *(shard.rows for shard in files.shards)], dtype=np.int64),
        starts=_joined([shard.offsets[:-1] for shard in shards]),
    )


def read_texts(dataset: Path, split: str) -> Iterator[tuple[int, str, str]]:
    """Yield (row id, text, label) of a split, in the order of `open_split`. Raises PreparedDataLostError if a file is damaged."""
    for file in _split_files(dataset, split).texts:
        path = dataset / file.file
        try:
            with pq.ParquetFile(path) as parquet:
                for batch in parquet.iter_batches(batch_size=1024):
                    columns = (batch.column(name).to_pylist() for name in ("row", "text", "label"))
                    yield from zip(*columns, strict=True)
        except (OSError, pa.ArrowException) as error:
            raise _damaged(path, error) from error


def read_rows(dataset: Path, split: str) -> Iterator[dict[str, Any]]:
    """Yield the rows of a split as the task's format names their columns, in the order of `open_split`."""
    for _, text, label in read_texts(dataset, split):
        yield {"text": text, "label": label}


def _split_files(dataset: Path, split: str) -> SplitFiles:
    files = read_manifest(dataset).splits.get(split)
    if files is None:
        raise PreparedDataLostError(f"{dataset / MANIFEST}: there is no split {split!r}")
    return files


@dataclass(frozen=True, kw_only=True)
class _OpenShard:
    ids: NDArray[np.int32]
    offsets: NDArray[np.int64]
    labels: NDArray[np.int64]
    rows: NDArray[np.int64]


def _open_shard(path: Path, described: Shard) -> _OpenShard:
    """Map a shard's token ids and load its other columns, after checking that they fit together."""
    try:
        columns = _mapped_columns(path)
        shard = _OpenShard(
            ids=columns["input_ids"].view("<i4"),
            offsets=np.array(columns["offsets"].view("<i8")),
            labels=np.array(columns["labels"].view("<i8")),
            rows=np.array(columns["rows"].view("<i8")),
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _damaged(path, error) from error
    counts = (len(shard.offsets) - 1, len(shard.labels), len(shard.rows))
    fits = set(counts) == {described.rows} and shard.offsets[-1] == len(shard.ids) == described.tokens
    if not fits or shard.offsets[0] != 0 or (np.diff(shard.offsets) <= 0).any():
        raise _damaged(path, ValueError("its columns do not fit together"))
    return shard


def _mapped_columns(path: Path) -> dict[str, NDArray[np.uint8]]:
    """Map the tensors of a safetensors file as bytes: a slice of the map costs far less than `safe_open` for each row."""
    whole: NDArray[np.uint8] = np.memmap(path, dtype=np.uint8, mode="r")
    header_length = int.from_bytes(whole[:_HEADER_LENGTH_BYTES].tobytes(), "little")
    data = _HEADER_LENGTH_BYTES + header_length
    if not 0 < header_length <= min(_LONGEST_HEADER, len(whole)):
        raise ValueError("it has no safetensors header")
    header = json.loads(whole[_HEADER_LENGTH_BYTES:data].tobytes())
    header.pop("__metadata__", None)
    needed = data + max(described["data_offsets"][1] for described in header.values())
    if needed > len(whole):
        raise ValueError(f"it is cut off: it has {len(whole)} bytes of {needed}")
    return {
        name: whole[data + described["data_offsets"][0] : data + described["data_offsets"][1]]
        for name, described in header.items()
    }


def _joined(parts: list[NDArray[np.int64]]) -> NDArray[np.int64]:
    return np.concatenate(parts) if parts else np.zeros(0, dtype=np.int64)


def _damaged(path: Path, error: Exception) -> PreparedDataLostError:
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error).splitlines()[0]
    return PreparedDataLostError(f"{path}: cannot be read: {reason}", hint="it is prepared anew from the sources")
