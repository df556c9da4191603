"""One file of tokens of a prepared data set, read without loading it (layout: `shards`)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tuneloop_trainer.dataset.sequences import ShardSequence, sequence_in
from tuneloop_trainer.errors import PreparedDataLostError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

ROW_PREFIX, TOKEN_PREFIX = "row.", "token."
"""In front of a column's name in a shard."""
_HEADER_LENGTH_BYTES = 8
_LONGEST_HEADER = 100_000_000


@dataclass(frozen=True, kw_only=True)
class OpenShard:
    """The columns of a shard, by what they are of; n rows."""

    ids: NDArray[np.int32]
    offsets: NDArray[np.int64]
    rows: NDArray[np.int64]
    targets: NDArray[np.int64]
    row_columns: dict[str, NDArray[Any]]
    token_columns: dict[str, NDArray[np.int32]]
    sequences: dict[str, ShardSequence]


def open_shard(
    path: Path,
    *,
    rows: int,
    tokens: int,
    row_columns: Sequence[str],
    token_columns: Sequence[str],
    sequences: Sequence[str],
) -> OpenShard:
    """Map a shard's values of tokens and load its values of rows, after checking that they fit together. Raises PreparedDataLostError."""
    try:
        stored = _mapped_columns(path)
        shard = OpenShard(
            ids=stored["input_ids"].view("<i4"),
            offsets=np.array(stored["offsets"].view("<i8")),
            rows=np.array(stored["rows"].view("<i8")),
            targets=np.array(stored["targets"].view("<i8")),
            row_columns={name: _values_of_rows(stored[ROW_PREFIX + name]) for name in row_columns},
            token_columns={name: stored[TOKEN_PREFIX + name].view("<i4") for name in token_columns},
            sequences={name: sequence_in(stored, name) for name in sequences},
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise damaged(path, error) from error
    if not _fits(shard, rows=rows, tokens=tokens):
        raise damaged(path, ValueError("its columns do not fit together"))
    return shard


def _fits(shard: OpenShard, *, rows: int, tokens: int) -> bool:
    of_rows = {
        len(shard.offsets) - 1,
        *map(len, (shard.rows, shard.targets, *shard.row_columns.values())),
        *(len(found.offsets) - 1 for found in shard.sequences.values()),
    }
    of_tokens = {int(shard.offsets[-1]), *map(len, (shard.ids, *shard.token_columns.values()))}
    in_order = shard.offsets[0] == 0 and bool((np.diff(shard.offsets) > 0).all())
    further_fit = all(found.fits for found in shard.sequences.values())
    return of_rows == {rows} and of_tokens == {tokens} and in_order and further_fit


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


def damaged(path: Path, error: Exception) -> PreparedDataLostError:
    """Return the error for a file that cannot be read."""
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error).splitlines()[0]
    return PreparedDataLostError(f"{path}: cannot be read: {reason}", hint="it is prepared again from the sources")
