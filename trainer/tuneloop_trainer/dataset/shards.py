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
from tuneloop_trainer.dataset.sequences import Sequences
from tuneloop_trainer.dataset.shard_file import damaged, open_shard
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

    @property
    def longest_sequence(self) -> int:
        """Length of the longest of all further sequences; 0 if there are none."""
        return max((int(found.lengths.max()) for found in self.sequences.values()), default=0)

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
        raise damaged(path, error) from error


def open_split(dataset: Path, split: str) -> TokenizedSplit:
    """Open a split of a prepared data set. Raises PreparedDataLostError, naming the file, if a file is missing, cut off or damaged."""
    manifest = read_manifest(dataset)
    files = _files_in(manifest, dataset, split)
    columns = {name: getattr(files, name) for name in ("row_columns", "token_columns", "sequences")}
    shards = [
        open_shard(dataset / shard.file, rows=shard.rows, tokens=shard.tokens, **columns) for shard in files.shards
    ]
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
            raise damaged(path, error) from error


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


def _joined(parts: list[NDArray[Any]]) -> NDArray[Any]:
    return np.concatenate(parts) if parts else np.zeros(0, dtype=np.int64)
