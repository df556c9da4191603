"""Packs the rows of a micro-batch into fewer lines, so that less padding is computed. Pure.

A line is as long as the longest row. Packing is a layout alone: a micro-batch has the same rows and targets, and the model sees of each row what it sees without packing. `models.packed_inputs`
keeps the rows of a line apart. A micro-batch of which no two rows fit into a line stays as it is.

Shapes: B = rows of the micro-batch, L = lines, L <= B, T = tokens of the longest row.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tuneloop_api.contract.model_inputs import MODEL_INPUTS
from tuneloop_trainer.dataset.shards import IGNORED
from tuneloop_trainer.tasks.task import Batch

if TYPE_CHECKING:
    from numpy.typing import NDArray

POSITION_IDS = "position_ids"
"""Input of a packed batch, [L, T]: the place of each token in its row, from 0."""
SEQUENCE_IDS = "sequence_ids"
"""Input of a packed batch, [L, T]: number of each token's row in its line, from 0; PADDING for a token of no row."""
PADDING = -1


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Where the rows of a micro-batch lie."""

    line: NDArray[np.int64]
    """Line of each row, [B]."""
    start: NDArray[np.int64]
    """Where each row begins in its line, [B]."""
    lines: int
    """L"""
    tokens: int
    """T"""


def lay_out(lengths: NDArray[np.int64]) -> Layout:
    """Return the layout of rows: the longest row first, each in the first line with room. lengths: tokens of each row, [B].

    First-fit decreasing takes at most 11/9 of the fewest lines (Johnson 1973).
    """
    tokens = int(lengths.max())
    line, start = np.zeros(len(lengths), dtype=np.int64), np.zeros(len(lengths), dtype=np.int64)
    filled: list[int] = []
    for row in np.argsort(-lengths, kind="stable").tolist():
        length = int(lengths[row])
        place = next((number for number, used in enumerate(filled) if used + length <= tokens), len(filled))
        if place == len(filled):
            filled.append(0)
        line[row], start[row] = place, filled[place]
        filled[place] += length
    return Layout(line=line, start=start, lines=len(filled), tokens=tokens)


def pack(batch: Batch, lengths: NDArray[np.int64], *, pad_id: int) -> Batch:
    """Return a batch with its rows packed, or the batch itself where packing saves no line. lengths: tokens of each row, [B].

    The batch has `input_ids`, and labels [B, T] with IGNORED where a token is no target.
    """
    layout = lay_out(lengths)
    if layout.lines == len(lengths):
        return batch
    shape = (layout.lines, layout.tokens)
    input_ids, labels = np.full(shape, pad_id, dtype=np.int64), np.full(shape, IGNORED, dtype=np.int64)
    sequence_ids = np.full(shape, PADDING, dtype=np.int64)
    position_ids = np.zeros(shape, dtype=np.int64)
    ends = np.zeros(layout.lines, dtype=np.int64)
    number_of_rows = [0] * layout.lines
    for row in np.argsort(layout.start, kind="stable").tolist():
        line, start, length = int(layout.line[row]), int(layout.start[row]), int(lengths[row])
        place = (line, slice(start, start + length))
        input_ids[place] = batch.inputs[MODEL_INPUTS[0]][row, :length]
        labels[place] = batch.labels[row, :length]
        sequence_ids[place] = number_of_rows[line]
        position_ids[place] = np.arange(length)
        number_of_rows[line] += 1
        ends[line] = start + length
    for line, end in enumerate(ends.tolist()):
        position_ids[line, end:] = np.arange(layout.tokens - end)
    inputs = {MODEL_INPUTS[0]: input_ids, POSITION_IDS: position_ids, SEQUENCE_IDS: sequence_ids}
    return Batch(inputs=inputs, labels=labels)
