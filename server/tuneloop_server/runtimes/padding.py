"""Windows of different lengths to arrays of one length, and back. Shapes: B = windows, T = tokens of the longest, C = labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    import transformers
    from numpy.typing import NDArray

    from tuneloop_server.model import Encoded, Logits


@dataclass(frozen=True, kw_only=True)
class Padding:
    """How a model's tokenizer pads."""

    token_id: int
    type_id: int
    on_left: bool

    def padded(self, batch: Sequence[Encoded]) -> dict[str, NDArray[np.int64]]:
        """Return the model's inputs, int64 [B, T] each."""
        longest = max(map(len, batch))
        inputs = {
            "input_ids": self._stretched([window.ids for window in batch], longest, self.token_id),
            "attention_mask": self._stretched([[1] * len(window) for window in batch], longest, 0),
        }
        if batch[0].type_ids:
            inputs["token_type_ids"] = self._stretched([window.type_ids for window in batch], longest, self.type_id)
        return inputs

    def without(self, logits: NDArray[np.float32], batch: Sequence[Encoded]) -> list[Logits]:
        """Return the logits of each window: of [B, C] its row, of [B, T, C] the rows of its tokens."""
        if logits.ndim == 2:
            return list(logits)
        return [
            row[len(row) - len(window) :] if self.on_left else row[: len(window)]
            for row, window in zip(logits, batch, strict=True)
        ]

    def _stretched(self, rows: Sequence[list[int]], length: int, pad: int) -> NDArray[np.int64]:
        paddings = [[pad] * (length - len(row)) for row in rows]
        padded = zip(paddings, rows, strict=True) if self.on_left else zip(rows, paddings, strict=True)
        return np.array([first + second for first, second in padded], dtype=np.int64)


def padding_of(tokenizer: transformers.PreTrainedTokenizerFast) -> Padding:
    """Return how a tokenizer pads."""
    return Padding(
        token_id=tokenizer.pad_token_id,
        type_id=tokenizer.pad_token_type_id,
        on_left=tokenizer.padding_side == "left",
    )
