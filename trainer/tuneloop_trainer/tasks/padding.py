"""Pads the rows of a micro-batch to one length.

Shapes: B = rows of the batch, T = tokens of the longest row.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tuneloop_api.contract.model_inputs import MODEL_INPUTS

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from tuneloop_trainer.dataset.shards import TokenizedSplit


def padded_inputs(split: TokenizedSplit, rows: NDArray[np.int64], *, pad_id: int) -> dict[str, NDArray[np.int64]]:
    """Return `input_ids` and `attention_mask` of rows, [B, T] each; the mask is 1 for a token and 0 for padding."""
    lengths = split.lengths[rows]
    input_ids = padded(split.tokens, rows, lengths=lengths, fill=pad_id)
    mask = np.arange(input_ids.shape[1]) < lengths[:, None]
    return dict(zip(MODEL_INPUTS, (input_ids, mask.astype(np.int64)), strict=True))


def padded(
    values_of: Callable[[int], NDArray[np.int32]],
    rows: NDArray[np.int64],
    *,
    lengths: NDArray[np.int64],
    fill: int,
) -> NDArray[np.int64]:
    """Return the values of each row's tokens, padded on the right with `fill`, [B, T]. lengths: tokens of each of the rows, [B]."""
    result = np.full((len(rows), int(lengths.max())), fill, dtype=np.int64)
    for line, row in enumerate(rows):
        result[line, : lengths[line]] = values_of(int(row))
    return result
