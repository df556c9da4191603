"""Places in their answers of rows that grow together, for decoders that give all rows of a batch the same place.

B = rows, D = size of an embedding. The decoders of BART's family add the embedding of a token's place, which they count from the length of the whole cache.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import nn

if TYPE_CHECKING:
    import transformers

_NAME = "embed_positions"


class RowPositions(nn.Module):
    """Stands in the place of a table of positions, and looks up those that it is given."""

    def __init__(self, table: nn.Embedding) -> None:
        super().__init__()
        self._table = table
        self._offset = int(getattr(table, "offset", 0))
        """Rows of the table that stand for no place."""
        self.places = torch.zeros((1, 1), dtype=torch.long)
        """Of the tokens of the next pass, [B, 1]."""
        self.is_on = False
        """Else the table finds the places by itself, as transformers does."""

    def forward(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        """Return [B, 1, D]."""
        if not self.is_on:
            found: torch.Tensor = self._table(*args, **kwargs)
            return found
        return nn.functional.embedding(self.places + self._offset, self._table.weight)


def row_positions(model: transformers.PreTrainedModel) -> RowPositions | None:
    """Let the decoder of a model take the places of rows; return what takes them, or None if the decoder has no such table."""
    decoder = model.get_decoder()
    table = getattr(decoder, _NAME, None)
    if not isinstance(table, nn.Embedding):
        return None
    positions = RowPositions(table)
    setattr(decoder, _NAME, positions)
    return positions


def answer_positions(model: transformers.PreTrainedModel) -> int | None:
    """Return for how many tokens of an answer the decoder of an encoder-decoder has positions; None: it has no end."""
    config = model.config
    own = config if not hasattr(config, "decoder") else config.decoder
    names = ("max_decoder_position_embeddings", "max_position_embeddings", "n_positions")
    return next((most for name in names if (most := _own_positions(own, name)) is not None), None)


def _own_positions(config: Any, name: str) -> int | None:
    """T5 names the length of its pre-training so, and has relative positions."""
    if getattr(config, "relative_attention_num_buckets", None) is not None:
        return None
    found: int | None = getattr(config, name, None)
    return found
