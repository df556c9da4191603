"""What is kept in memory of each usable row: hashes, labels, split, place. The contents of the rows are on disk (`spool`)."""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np
import xxhash

from tuneloop_trainer.data.sources.spool import RowSpool, read_spool
from tuneloop_trainer.data.text_key import text_key

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from tuneloop_trainer.data.formats.row_format import RowFormat
    from tuneloop_trainer.locate import DataFile
    from tuneloop_trainer.tasks.task import Row

KEY_BYTES = 16
_NOUNS = {"parquet": "row", "arrow": "row", "squad": "question"}
OUT, TRAIN, VALIDATION, TEST = -1, 0, 1, 2
"""Indexes into `SPLITS`; OUT: the row is left out."""


@dataclass(frozen=True, kw_only=True)
class RowTable:
    """N usable rows, 66 bytes each; in reading order, unless a data step added rows."""

    row_format: RowFormat
    contents: Path
    """Spool with the rows themselves, in the order of the table."""
    text_keys: NDArray[np.void]
    """128-bit hashes of the normalised texts, V16 [N]."""
    answer_keys: NDArray[np.uint64]
    """Hashes of what the model is to find, [N]."""
    group_keys: NDArray[np.void] | None
    """128-bit hashes of the `groupBy` values, V16 [N]."""
    label_sets: list[tuple[str, ...]]
    """Distinct sets of labels that rows have, in the order of their first row."""
    label_set_ids: NDArray[np.int32]
    """Index into `label_sets`, [N]."""
    source_splits: NDArray[np.int8]
    """Split that the row's source was given for, [N]."""
    splits: NDArray[np.int8]
    """Split that the row is in now, [N]; OUT: it is left out."""
    row_ids: NDArray[np.int64]
    """Place in the order of reading, [N]; rows that cannot be used count too. A row that a data step made has the id of the row that it was made from."""
    file_ids: NDArray[np.int32]
    """Index into `files`, [N]."""
    numbers: NDArray[np.int64]
    """Line or row in the file, [N]."""
    files: list[DataFile]
    labels: list[str] | None = None
    """Labels in the order of their ids; None until the step `label-ids` has run."""

    def place(self, index: int) -> str:
        """Return where a row stands, for messages."""
        return place_of(self.files[self.file_ids[index]], int(self.numbers[index]))

    def indexes(self, split: int) -> NDArray[np.int64]:
        """Return the places of a split's rows in the table, in order."""
        return np.flatnonzero(self.splits == split)

    def read(self) -> Iterator[list[Row]]:
        """Yield the contents of all rows in order, in batches of bounded size; rows that are left out are among them."""
        return read_spool(self.contents)


class TableBuilder:
    """Collects rows: their contents go to a new file, all else goes into compact arrays, since there may be millions."""

    def __init__(self, contents: Path, *, row_format: RowFormat, grouped: bool) -> None:
        self._path, self._format = contents, row_format
        self._spool = RowSpool(contents, row_format.schema)
        self._text_keys, self._answer_keys = bytearray(), array("Q")
        self._group_keys = bytearray() if grouped else None
        self._label_set_ids, self._source_splits, self._splits = array("i"), array("b"), array("b")
        self._row_ids, self._file_ids, self._numbers = array("q"), array("i"), array("q")
        self._label_sets: dict[tuple[str, ...], int] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._spool.__exit__(*error)

    def add(
        self,
        row: Row,
        *,
        group_key: bytes | None,
        source_split: int,
        split: int,
        row_id: int,
        file_id: int,
        number: int,
    ) -> None:
        """Append a row."""
        texts = self._format.texts(row)
        self._spool.add(row, characters=sum(map(len, texts)))
        self._text_keys += text_key(*texts)
        self._answer_keys.append(xxhash.xxh3_64_intdigest(self._format.answer(row).encode()))
        if self._group_keys is not None and group_key is not None:
            self._group_keys += group_key
        self._label_set_ids.append(self._label_sets.setdefault(self._format.labels(row), len(self._label_sets)))
        self._source_splits.append(source_split)
        self._splits.append(split)
        self._row_ids.append(row_id)
        self._file_ids.append(file_id)
        self._numbers.append(number)

    def copy(self, table: RowTable, index: int, row: Row) -> None:
        """Append a row that was made from a row of another table: it has that row's split, group, id and place."""
        self.add(
            row,
            group_key=None if table.group_keys is None else table.group_keys[index].tobytes(),
            source_split=int(table.source_splits[index]),
            split=int(table.splits[index]),
            row_id=int(table.row_ids[index]),
            file_id=int(table.file_ids[index]),
            number=int(table.numbers[index]),
        )

    def finish(self, files: list[DataFile]) -> RowTable:
        """Return the table. Its contents can be read when the builder is closed."""
        return RowTable(
            row_format=self._format,
            contents=self._path,
            text_keys=_keys(self._text_keys),
            answer_keys=np.frombuffer(self._answer_keys, dtype=np.uint64),
            group_keys=None if self._group_keys is None else _keys(self._group_keys),
            label_sets=list(self._label_sets),
            label_set_ids=np.frombuffer(self._label_set_ids, dtype=np.int32),
            source_splits=np.frombuffer(self._source_splits, dtype=np.int8),
            splits=np.frombuffer(self._splits, dtype=np.int8),
            row_ids=np.frombuffer(self._row_ids, dtype=np.int64),
            file_ids=np.frombuffer(self._file_ids, dtype=np.int32),
            numbers=np.frombuffer(self._numbers, dtype=np.int64),
            files=files,
        )


def place_of(file: DataFile, number: int) -> str:
    """Return `FILE line N` or, for tables, `FILE row N`, or for documents of SQuAD `FILE question N`."""
    return f"{file.name} {_NOUNS.get(file.format, 'line')} {number}"


def _keys(data: bytearray) -> NDArray[np.void]:
    return np.frombuffer(data, dtype=f"V{KEY_BYTES}")
