"""Encoded rows of one split, on disk until the cut is known: one raw int32 file for each token column and each sequence."""

from __future__ import annotations

from array import array
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO, Self

import numpy as np

from tuneloop_trainer.tasks.task import EncodedRow

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

_IDS = "input_ids"
_SEQUENCE = "sequence."
"""In front of a sequence's name in the name of its file."""


@dataclass(frozen=True, kw_only=True)
class EncodedSplit:
    """What an `EncodedWriter` wrote; N rows."""

    lengths: NDArray[np.int64]
    """Tokens of each row before any cut, [N]."""
    stored: NDArray[np.int64]
    """Tokens of each row on disk, [N]."""
    files: dict[str, Path]
    """Values of all rows one after another, by column; `input_ids` is among them."""
    row_columns: dict[str, NDArray[Any]]
    """int64 or float64 [N] each, by name."""
    sequence_files: dict[str, Path]
    """Like `files`, by name of the sequence."""
    sequence_lengths: dict[str, NDArray[np.int64]]
    """Values of each row's sequence, [N], by name."""

    def read(self) -> Iterator[EncodedRow]:
        """Yield the rows in order."""
        with ExitStack() as stack:
            files = {name: stack.enter_context(path.open("rb")) for name, path in self.files.items()}
            further = {name: stack.enter_context(path.open("rb")) for name, path in self.sequence_files.items()}
            for index, length in enumerate(self.stored):
                columns = {name: np.fromfile(file, dtype=np.int32, count=int(length)) for name, file in files.items()}
                yield EncodedRow(
                    input_ids=columns.pop(_IDS),
                    token_columns=columns,
                    sequences={
                        name: np.fromfile(file, dtype=np.int32, count=int(self.sequence_lengths[name][index]))
                        for name, file in further.items()
                    },
                    row_columns={name: values[index].item() for name, values in self.row_columns.items()},
                )

    def delete(self) -> None:
        """Delete the files."""
        for path in (*self.files.values(), *self.sequence_files.values()):
            path.unlink()


class EncodedWriter:
    """Writes encoded rows; memory: 16 bytes a row, and 8 for each row column and each sequence."""

    def __init__(self, folder: Path, split: str) -> None:
        self._folder, self._split = folder, split
        self._stack = ExitStack()
        self._files: dict[str, BinaryIO] = {}
        self._lengths, self._stored = array("q"), array("q")
        self._row_columns: dict[str, array[Any]] = {}
        self._sequence_lengths: dict[str, array[Any]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def add(self, row: EncodedRow, *, length: int) -> None:
        """Append a row; length: how many tokens it had before it was cut to the model's limit."""
        self._lengths.append(length)
        self._stored.append(len(row.input_ids))
        for name, values in {_IDS: row.input_ids, **row.token_columns}.items():
            self._append(name, values)
        for name, values in row.sequences.items():
            self._append(_SEQUENCE + name, values)
            self._sequence_lengths.setdefault(name, array("q")).append(len(values))
        for name, value in row.row_columns.items():
            if name not in self._row_columns:
                self._row_columns[name] = array("d" if isinstance(value, float) else "q")
            self._row_columns[name].append(value)

    def _append(self, name: str, values: NDArray[np.int32]) -> None:
        if name not in self._files:
            self._files[name] = self._stack.enter_context(self._path(name).open("wb"))
        self._files[name].write(values.astype(np.int32, copy=False).tobytes())

    def finish(self) -> EncodedSplit:
        """Return what was written, once the writer is closed."""
        return EncodedSplit(
            lengths=np.array(self._lengths, dtype=np.int64),
            stored=np.array(self._stored, dtype=np.int64),
            files={name: self._path(name) for name in self._files if not name.startswith(_SEQUENCE)},
            row_columns={name: np.array(values) for name, values in self._row_columns.items()},
            sequence_files={name: self._path(_SEQUENCE + name) for name in self._sequence_lengths},
            sequence_lengths={
                name: np.array(values, dtype=np.int64) for name, values in self._sequence_lengths.items()
            },
        )

    def _path(self, name: str) -> Path:
        return self._folder / f".{self._split}.{name}"
