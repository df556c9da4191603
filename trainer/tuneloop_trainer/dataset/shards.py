"""The prepared data set on disk: its manifest, and reading it back without loading it.

    <datasets>/<digest>/dataset.json             DatasetManifest, written last
                        train-00000.safetensors  input_ids int32 [T], offsets int64 [n+1], rows int64 [n], targets int64 [n],
                                                 token.NAME int32 [T] and row.NAME int64 or float64 [n]: the columns that the task named,
                                                 sequence.NAME int32 and sequence.NAME.offsets int64 [n+1]: its further sequences
                        train-00000.parquet      row int64, and the columns of the row format: the rows as they were read, in the same order
                        tokenizer/               the tokenizer's files
                        report.json              what became of the rows

A folder of that name is whole or absent: `prepare` writes it under another name and renames it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import Field, ValidationError

from tuneloop_api.contract.results import DataCounts
from tuneloop_api.wire.model import MessageModel
from tuneloop_trainer.dataset.sequences import Sequences, ShardSequence, sequence_in
from tuneloop_trainer.errors import PreparedDataLostError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

MANIFEST = "dataset.json"
REPORT = "report.json"
TOKENIZER = "tokenizer"
LABELS = "labels"
"""Name of the column that the loss compares with: a row column, a token column or a sequence, as the task decides."""
GROUPS = "groups"
"""Row column: which rows belong together by `data.split.groupBy`; only where the spec gives it."""
WINDOW = "window"
"""Row column: the place of a window in its row, from 0; only where the task reads long rows in several windows. What a shard calls a row is a window then."""
IGNORED = -100
"""Value of the token column `labels` where a token is no target."""
ROW_ID = "row"
"""Column of a row's id beside the row itself."""
ROW_PREFIX, TOKEN_PREFIX = "row.", "token."
"""In front of a column's name in a shard."""
_HEADER_LENGTH_BYTES = 8
_LONGEST_HEADER = 100_000_000


class Shard(MessageModel):
    """One file of tokens."""

    file: str
    rows: int
    tokens: int
    sha256: str


class TextFile(MessageModel):
    """One file of rows as they were read."""

    file: str
    rows: int
    sha256: str


class SplitFiles(MessageModel):
    """One split: its files in reading order."""

    rows: int
    """Where long rows are read in windows: how many windows."""
    tokens: int
    """Tokens after the cut to `max_tokens`, special tokens included."""
    row_columns: list[str] = Field(default=[])
    """Names of the columns with one value a row."""
    token_columns: list[str] = Field(default=[])
    """Names of the columns with one value a token."""
    sequences: list[str] = Field(default=[])
    """Names of the further sequences of each row."""
    shards: list[Shard]
    texts: list[TextFile]

    @property
    def source_rows(self) -> int:
        """How many rows were read, however many windows they make."""
        return sum(text.rows for text in self.texts)


class TokenizerFacts(MessageModel):
    """What training needs to know about the tokenizer."""

    files_digest: str
    """SHA-256 over the tokenizer's files."""
    pad_token_id: int
    """The end-of-text token where the tokenizer has no padding token."""
    special_tokens: int
    """Tokens that are added around each text."""
    model_max_tokens: int | None = None
    """Longest input of the model; None: the model has no limit."""
    size: int = 0
    """The ids of all its tokens that the model has an embedding for are below; 0 in data sets of releases before 0.3.0."""
    mask_token_id: int | None = None
    special_token_ids: list[int] = Field(default=[])

    @property
    def plain_ids(self) -> NDArray[np.int32]:
        """Ids of all tokens that are not special, and that the model has an embedding for, in order."""
        return np.setdiff1d(np.arange(self.size, dtype=np.int32), np.array(self.special_token_ids, dtype=np.int32))


class DatasetManifest(MessageModel):
    """`dataset.json`."""

    version: Literal[1, 2] = 1
    """2: a row column holds float64. A program that knows version 1 alone would read its bytes as whole numbers, and refuses the version."""
    digest: str
    """The folder's name: a hash of all that the data depends on."""
    labels: list[str]
    """Class names in the order of their ids."""
    max_tokens: int
    tokenizer: TokenizerFacts
    splits: dict[str, SplitFiles]
    """train, validation, test."""
    counts: DataCounts
    notes: list[str] = Field(default=[])
    """What a person should know of the data, one sentence each."""


@dataclass(frozen=True, kw_only=True)
class TokenizedSplit:
    """The rows of one split, in reading order; N rows. Values of tokens stay on disk until they are asked for.

    Where the task reads long rows in windows, N counts windows, and those of a row stand together (`WINDOW`).
    """

    name: str
    folder: Path | None = None
    """Of the prepared data set; None: the rows are in none."""
    lengths: NDArray[np.int64]
    """Tokens of each row, int64 [N]."""
    rows: NDArray[np.int64]
    """Row id (order in which the sources were read), int64 [N]."""
    targets: NDArray[np.int64]
    """How many things the loss is taken over in each row, int64 [N], all >= 1."""
    row_columns: Mapping[str, NDArray[Any]]
    """int64 or float64 [N] each, by name."""
    ids: tuple[NDArray[np.int32], ...]
    """Token ids of each shard, memory-mapped, int32 [tokens of the shard]."""
    token_columns: Mapping[str, tuple[NDArray[np.int32], ...]]
    """Like `ids`, by name."""
    first_rows: NDArray[np.int64]
    """Index of each shard's first row, and N at the end."""
    starts: NDArray[np.int64]
    """Where each row begins in its shard, int64 [N]."""
    tokenizer: TokenizerFacts | None = None
    """What made the tokens; None where rows were encoded in memory."""
    sequences: Mapping[str, Sequences] = field(default_factory=dict)
    """Further sequences of the rows, by name."""

    @property
    def all_lengths(self) -> NDArray[np.int64]:
        """Tokens of each row in each of its sequences, int64 [N, S]: what the model reads, and perhaps what it is to write."""
        return np.stack([self.lengths, *(found.lengths for found in self.sequences.values())], axis=1)

    def tokens(self, index: int) -> NDArray[np.int32]:
        """Return the token ids of a row, int32 [lengths[index]]: a read-only view of the file."""
        return self._of_row(self.ids, index)

    def token_column(self, name: str, index: int) -> NDArray[np.int32]:
        """Return the values of a row's tokens, int32 [lengths[index]]: a read-only view of the file. Raises KeyError for an unknown name."""
        return self._of_row(self.token_columns[name], index)

    @property
    def first_windows(self) -> NDArray[np.int64]:
        """Index of the first window of each row, int64 [rows]: all N, where a row is one window."""
        return (
            np.flatnonzero(self.row_columns[WINDOW] == 0) if WINDOW in self.row_columns else np.arange(len(self.rows))
        )

    @property
    def row_of_window(self) -> NDArray[np.int64]:
        """Place of each window's row among the rows of the split, int64 [N]."""
        return np.searchsorted(self.first_windows, np.arange(len(self.rows)), side="right") - 1

    def row_column(self, name: str) -> NDArray[Any]:
        """Return the value of each row, int64 or float64 [N]. Raises KeyError for an unknown name."""
        return self.row_columns[name]

    def _of_row(self, shards: tuple[NDArray[np.int32], ...], index: int) -> NDArray[np.int32]:
        if not 0 <= index < len(self.lengths):
            raise IndexError(f"row {index} of {len(self.lengths)} in split {self.name}")
        shard = int(np.searchsorted(self.first_rows, index, side="right")) - 1
        start = self.starts[index]
        return shards[shard][start : start + self.lengths[index]]


def read_manifest(dataset: Path) -> DatasetManifest:
    """Read `dataset.json`. Raises PreparedDataLostError, naming the file, if it is missing or damaged."""
    path = dataset / MANIFEST
    try:
        return DatasetManifest.from_wire(json.loads(path.read_bytes()))
    except (OSError, ValueError, ValidationError) as error:
        raise _damaged(path, error) from error


def open_split(dataset: Path, split: str) -> TokenizedSplit:
    """Open a split of a prepared data set. Raises PreparedDataLostError, naming the file, if a file is missing, cut off or damaged."""
    manifest = read_manifest(dataset)
    files = _files_in(manifest, dataset, split)
    shards = [_open_shard(dataset / shard.file, shard, files=files) for shard in files.shards]
    first_rows = np.cumsum([0, *(shard.rows for shard in files.shards)], dtype=np.int64)
    return TokenizedSplit(
        name=split,
        folder=dataset,
        lengths=_joined([np.diff(shard.offsets) for shard in shards]),
        rows=_joined([shard.rows for shard in shards]),
        targets=_joined([shard.targets for shard in shards]),
        row_columns={name: _joined([shard.row_columns[name] for shard in shards]) for name in files.row_columns},
        ids=tuple(shard.ids for shard in shards),
        token_columns={name: tuple(shard.token_columns[name] for shard in shards) for name in files.token_columns},
        first_rows=first_rows,
        starts=_joined([shard.offsets[:-1] for shard in shards]),
        tokenizer=manifest.tokenizer,
        sequences={
            name: Sequences(shards=tuple(shard.sequences[name] for shard in shards), first_rows=first_rows)
            for name in files.sequences
        },
    )


def read_rows(dataset: Path, split: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield (row id, row as its format names the columns) of a split, in the order of `open_split`, each row once. Raises PreparedDataLostError if a file is damaged."""
    for file in _split_files(dataset, split).texts:
        path = dataset / file.file
        try:
            with pq.ParquetFile(path) as parquet:
                for batch in parquet.iter_batches(batch_size=1024):
                    for row in batch.to_pylist():
                        yield row.pop(ROW_ID), row
        except (OSError, pa.ArrowException) as error:
            raise _damaged(path, error) from error


def read_texts(dataset: Path, split: str) -> Iterator[tuple[int, str, str]]:
    """Yield (row id, text, label) of a split of text classification, as `read_rows` does."""
    for row_id, row in read_rows(dataset, split):
        yield row_id, row["text"], row["label"]


def _split_files(dataset: Path, split: str) -> SplitFiles:
    return _files_in(read_manifest(dataset), dataset, split)


def _files_in(manifest: DatasetManifest, dataset: Path, split: str) -> SplitFiles:
    files = manifest.splits.get(split)
    if files is None:
        raise PreparedDataLostError(f"{dataset / MANIFEST}: there is no split {split!r}")
    return files


@dataclass(frozen=True, kw_only=True)
class _OpenShard:
    ids: NDArray[np.int32]
    offsets: NDArray[np.int64]
    rows: NDArray[np.int64]
    targets: NDArray[np.int64]
    row_columns: dict[str, NDArray[Any]]
    token_columns: dict[str, NDArray[np.int32]]
    sequences: dict[str, ShardSequence]


def _open_shard(path: Path, described: Shard, *, files: SplitFiles) -> _OpenShard:
    """Map a shard's values of tokens and load its values of rows, after checking that they fit together."""
    try:
        stored = _mapped_columns(path)
        shard = _OpenShard(
            ids=stored["input_ids"].view("<i4"),
            offsets=np.array(stored["offsets"].view("<i8")),
            rows=np.array(stored["rows"].view("<i8")),
            targets=np.array(stored["targets"].view("<i8")),
            row_columns={name: _values_of_rows(stored[ROW_PREFIX + name]) for name in files.row_columns},
            token_columns={name: stored[TOKEN_PREFIX + name].view("<i4") for name in files.token_columns},
            sequences={name: sequence_in(stored, name) for name in files.sequences},
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _damaged(path, error) from error
    if not _fits(shard, described):
        raise _damaged(path, ValueError("its columns do not fit together"))
    return shard


def _fits(shard: _OpenShard, described: Shard) -> bool:
    of_rows = {
        len(shard.offsets) - 1,
        *map(len, (shard.rows, shard.targets, *shard.row_columns.values())),
        *(len(found.offsets) - 1 for found in shard.sequences.values()),
    }
    of_tokens = {int(shard.offsets[-1]), *map(len, (shard.ids, *shard.token_columns.values()))}
    in_order = shard.offsets[0] == 0 and bool((np.diff(shard.offsets) > 0).all())
    further_fit = all(found.fits for found in shard.sequences.values())
    return of_rows == {described.rows} and of_tokens == {described.tokens} and in_order and further_fit


def _values_of_rows(stored: NDArray[Any]) -> NDArray[Any]:
    return np.array(stored if stored.dtype == np.float64 else stored.view("<i8"))


def _mapped_columns(path: Path) -> dict[str, NDArray[Any]]:
    """Map the tensors of a safetensors file, float64 as such and all others as bytes: a slice of the map costs far less than `safe_open` for each row."""
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
    found = {}
    for name, described in header.items():
        start, end = described["data_offsets"]
        column = whole[data + start : data + end]
        found[name] = column.view("<f8") if described["dtype"] == "F64" else column
    return found


def _joined(parts: list[NDArray[Any]]) -> NDArray[Any]:
    return np.concatenate(parts) if parts else np.zeros(0, dtype=np.int64)


def _damaged(path: Path, error: Exception) -> PreparedDataLostError:
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error).splitlines()[0]
    return PreparedDataLostError(f"{path}: cannot be read: {reason}", hint="it is prepared again from the sources")
