"""A further sequence of tokens for each row of a split, of a length of its own: what the row's model is to write."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

SEQUENCE_PREFIX, OFFSETS = "sequence.", ".offsets"
"""In front of a sequence's name in a shard, and behind it where the array says where each row's sequence begins."""


@dataclass(frozen=True, kw_only=True)
class ShardSequence:
    """The sequences of one shard's rows; n rows."""

    values: NDArray[np.int32]
    """Memory-mapped, of all rows one after another."""
    offsets: NDArray[np.int64]
    """[n + 1] where each row's sequence begins; the last is the number of values."""

    @property
    def fits(self) -> bool:
        """Whether values and offsets belong together."""
        return (
            self.offsets[0] == 0 and self.offsets[-1] == len(self.values) and bool((np.diff(self.offsets) >= 0).all())
        )


@dataclass(frozen=True, kw_only=True)
class Sequences:
    """The sequences of all rows of a split; N rows."""

    shards: tuple[ShardSequence, ...]
    first_rows: NDArray[np.int64]
    """Index of each shard's first row, and N at the end."""

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Values of each row's sequence, [N]."""
        return np.concatenate([self.first_rows[:0], *(np.diff(shard.offsets) for shard in self.shards)])

    def of_row(self, index: int) -> NDArray[np.int32]:
        """Return a row's sequence: a read-only view of the file."""
        number = int(np.searchsorted(self.first_rows, index, side="right")) - 1
        shard, place = self.shards[number], index - int(self.first_rows[number])
        return shard.values[shard.offsets[place] : shard.offsets[place + 1]]


def columns_of(name: str, parts: list[NDArray[np.int32]]) -> dict[str, NDArray[Any]]:
    """Return the arrays of a sequence in a shard, by name. parts: the sequence of each row."""
    return {
        SEQUENCE_PREFIX + name: np.concatenate(parts).astype(np.int32, copy=False),
        SEQUENCE_PREFIX + name + OFFSETS: np.cumsum([0, *map(len, parts)], dtype=np.int64),
    }


def sequence_in(stored: Mapping[str, NDArray[Any]], name: str) -> ShardSequence:
    """Return a sequence of a shard. stored: the shard's arrays as bytes. Raises KeyError if it is not there."""
    return ShardSequence(
        values=stored[SEQUENCE_PREFIX + name].view("<i4"),
        offsets=np.array(stored[SEQUENCE_PREFIX + name + OFFSETS].view("<i8")),
    )
