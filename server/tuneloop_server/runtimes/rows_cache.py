"""Keys and values of the answers that grow together: a row for each answer, padded on the left to the longest. Rows come and go between two passes.

B = rows, H = heads of keys and values, T = tokens of the longest row, D = size of a head. transformers' own dynamic cache copies all of it for each
token; this one has room for some tokens more and copies when the room is used up.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from transformers.cache_utils import Cache, CacheLayerMixin

if TYPE_CHECKING:
    from collections.abc import Sequence

_ROOM = 64
"""Tokens for which there is room after a copy."""


class RowsLayer(CacheLayerMixin):
    """Keys and values of one layer of the model: the first `length` of the T places are used."""

    def __init__(self, **_: Any) -> None:
        super().__init__()
        self.length = 0

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        self.keys = _with_room(key_states[:, :, :0], key_states.shape[2] + _ROOM)
        self.values = _with_room(value_states[:, :, :0], value_states.shape[2] + _ROOM)
        self.is_initialized = True

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *_: Any, **__: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Add the keys and values of new tokens, [B, H, new, D]; return all of them, [B, H, T, D]. Raises ValueError for another number of rows."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        rows, given = self.keys.shape[0], key_states.shape[0]
        if (
            given != rows
        ):  # torch would give the token of one row to all: memory ran out while rows joined, in some layers only
            raise ValueError(f"the layer holds keys and values of {rows} rows, and a token for {given} came")
        start, end = self.length, self.length + key_states.shape[2]
        if end > self.keys.shape[2]:
            self.keys, self.values = (_with_room(held, end + _ROOM) for held in (self.keys, self.values))
        self.keys[:, :, start:end] = key_states
        self.values[:, :, start:end] = value_states
        self.length = end
        return self.keys[:, :, :end], self.values[:, :, :end]

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return self.length + query_length, 0

    def get_seq_length(self) -> int:
        return self.length

    def get_max_length(self) -> int:
        return -1

    def keep(self, rows: torch.Tensor, *, dropped: int) -> None:
        """Keep some rows, without the first `dropped` places, which are padding in all of them. Rows that only change their places keep their room."""
        if len(rows) == self.keys.shape[0] and dropped == 0:
            for held in (self.keys, self.values):
                held[:, :, : self.length] = held[rows, :, : self.length]
            return
        self.keys, self.values = (held[rows, :, dropped : self.length] for held in (self.keys, self.values))
        self.length -= dropped

    def join(self, other: RowsLayer) -> None:
        """Add the rows of another layer below those of this one."""
        length = max(self.length, other.length)
        self.keys, self.values = (
            torch.cat([_padded(mine, self.length, length), _padded(its, other.length, length)])
            for mine, its in ((self.keys, other.keys), (self.values, other.values))
        )
        self.length = length


class RowsCache(Cache):
    """The keys and values of all layers. Layers that attend to a window only keep all tokens, too: the mask of the model has the window."""

    def __init__(self) -> None:
        super().__init__(layer_class_to_replicate=RowsLayer)

    def keep(self, rows: Sequence[int], *, dropped: int) -> None:
        """See `RowsLayer.keep`."""
        for layer in self.layers:
            layer.keep(torch.tensor(rows, device=layer.keys.device), dropped=dropped)

    def join(self, other: RowsCache) -> None:
        """See `RowsLayer.join`."""
        for mine, its in zip(self.layers, other.layers, strict=True):
            mine.join(its)

    @property
    def bytes_per_token(self) -> int:
        """Bytes that a token of a row takes."""
        return sum(
            held.element_size() * held.shape[1] * held.shape[3]
            for layer in self.layers
            for held in (layer.keys, layer.values)
        )


def _with_room(held: torch.Tensor, size: int) -> torch.Tensor:
    """Return the same keys or values with `size` places in all."""
    room = held.new_zeros((held.shape[0], held.shape[1], size, held.shape[3]))
    room[:, :, : held.shape[2]] = held
    return room


def _padded(held: torch.Tensor, used: int, length: int) -> torch.Tensor:
    """Return the used places of keys or values, padded on the left."""
    return torch.nn.functional.pad(held[:, :, :used], (0, 0, length - used, 0))
