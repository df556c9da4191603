"""Reads long texts in blocks: what a language model goes on learning from is read to its end, and not cut. Pure.

Blocks follow each other and share no token of the text, so that the loss is taken over each target once.

Shapes: T = tokens of a row.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tuneloop_trainer.dataset.shards import WINDOW
from tuneloop_trainer.tasks.task import EncodedRow

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tuneloop_api.contract.settings import Settings

VERSION = 1
"""Grows when the same text has other blocks."""


def reads_in_blocks(settings: Settings) -> bool:
    """Tell whether long rows are read in blocks: texts alone are. An answer without its question would teach nothing: conversations and prompts are cut."""
    return settings.task == "fill-mask" or (settings.task == "text-generation" and settings.data.format == "text")


def blocks_of(
    row: EncodedRow, most: int, *, has_target: NDArray[np.bool_], leading: int = 0, trailing: int = 0
) -> list[EncodedRow]:
    """Return the blocks of a whole row, each of at most `most` tokens; none if there is nothing to learn.

    has_target: whether there is something to learn at each token, [T]; a block without is left out. leading, trailing: how many tokens at both ends of the row stand around each block.
    """
    length = len(row.input_ids)
    room, end = most - leading - trailing, length - trailing
    starts = range(leading, end, room) if length > most else (leading,)
    texts = [np.arange(start, min(start + room, end) if length > most else end) for start in starts]
    around = np.arange(leading), np.arange(end, length)
    kept = [np.concatenate([around[0], text, around[1]]) for text in texts if has_target[text].any()]
    return [_block(row, places, number) for number, places in enumerate(kept)]


def _block(row: EncodedRow, places: NDArray[np.int64], number: int) -> EncodedRow:
    return EncodedRow(
        input_ids=row.input_ids[places],
        token_columns={name: values[places] for name, values in row.token_columns.items()},
        row_columns={**row.row_columns, WINDOW: number},
    )
