"""What is kept in memory of each usable row: keys, class, place. The texts are on disk (`spool`)."""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tuneloop_trainer.locate import DataFile

KEY_BYTES = 16
TRAIN, VALIDATION, TEST = 0, 1, 2
"""Indexes into `shards.SPLITS`, both of the split that a source was given for and of the one that a row goes to."""


@dataclass(frozen=True, kw_only=True)
class RowTable:
    """N usable rows in reading order, 57 bytes each."""

    text_keys: NDArray[np.void]
    """128-bit hashes of the normalised texts, V16 [N]."""
    group_keys: NDArray[np.void] | None
    """128-bit hashes of the `groupBy` values, V16 [N]."""
    labels: NDArray[np.int32]
    """Index into `classes`, [N]."""
    classes: list[str]
    """Distinct classes, in the order of their first row."""
    pools: NDArray[np.int8]
    """Split that the row's source was given for, [N]."""
    rows: NDArray[np.int64]
    """Row ids, [N]: place in the order of reading, rows that cannot be used counted too."""
    file_ids: NDArray[np.int32]
    """Index into `files`, [N]."""
    numbers: NDArray[np.int64]
    """Line or row in the file, [N]."""
    files: list[DataFile]

    def place(self, index: int) -> str:
        """Return where a row stands, for messages."""
        return place_of(self.files[self.file_ids[index]], int(self.numbers[index]))


class TableBuilder:
    """Collects rows; compact arrays, since there may be millions."""

    def __init__(self, *, grouped: bool) -> None:
        self._text_keys = bytearray()
        self._group_keys = bytearray() if grouped else None
        self._labels, self._pools = array("i"), array("b")
        self._rows, self._file_ids, self._numbers = array("q"), array("i"), array("q")
        self._classes: dict[str, int] = {}

    def add(
        self, *, text_key: bytes, group_key: bytes | None, label: str, pool: int, row: int, file_id: int, number: int
    ) -> None:
        """Append a row."""
        self._text_keys += text_key
        if self._group_keys is not None and group_key is not None:
            self._group_keys += group_key
        self._labels.append(self._classes.setdefault(label, len(self._classes)))
        self._pools.append(pool)
        self._rows.append(row)
        self._file_ids.append(file_id)
        self._numbers.append(number)

    def finish(self, files: list[DataFile]) -> RowTable:
        """Return the table; the builder must not be used afterwards."""
        return RowTable(
            text_keys=_keys(self._text_keys),
            group_keys=None if self._group_keys is None else _keys(self._group_keys),
            labels=np.frombuffer(self._labels, dtype=np.int32),
            classes=list(self._classes),
            pools=np.frombuffer(self._pools, dtype=np.int8),
            rows=np.frombuffer(self._rows, dtype=np.int64),
            file_ids=np.frombuffer(self._file_ids, dtype=np.int32),
            numbers=np.frombuffer(self._numbers, dtype=np.int64),
            files=files,
        )


def place_of(file: DataFile, number: int) -> str:
    """Return `FILE line N` or, for tables, `FILE row N`."""
    return f"{file.name} {'line' if file.format in {'csv', 'tsv', 'jsonl'} else 'row'} {number}"


def _keys(data: bytearray) -> NDArray[np.void]:
    return np.frombuffer(data, dtype=f"V{KEY_BYTES}")
