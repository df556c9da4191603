"""Packed rows: each token stands in a line once, with its label and its place in its row, and lines are never more than rows."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tuneloop_trainer.dataset.shards import IGNORED
from tuneloop_trainer.tasks.packing import PADDING, POSITION_IDS, SEQUENCE_IDS, lay_out, pack
from tuneloop_trainer.tasks.task import Batch

PAD = 1
LENGTHS = st.lists(st.integers(1, 40), min_size=1, max_size=12).map(np.array)


def padded_batch(lengths: np.ndarray) -> Batch:
    """Return rows of tokens of which no two are alike; the label of a token is its negative number, and that of each third token is none."""
    tokens = int(lengths.max())
    is_token = np.arange(tokens) < lengths[:, None]
    numbers = 2 + np.arange(is_token.size).reshape(is_token.shape)
    labels = np.where(numbers % 3 == 0, IGNORED, -1000 - numbers)
    return Batch(
        inputs={"input_ids": np.where(is_token, numbers, PAD), "attention_mask": is_token.astype(np.int64)},
        labels=np.where(is_token, labels, IGNORED),
    )


@given(LENGTHS)
@settings(deadline=None, max_examples=150)
def test_rows_of_a_line_follow_each_other_and_fit(lengths):
    layout = lay_out(lengths)
    assert layout.tokens == lengths.max()
    assert layout.lines <= len(lengths)
    for line in range(layout.lines):
        rows = sorted(np.flatnonzero(layout.line == line), key=lambda row: layout.start[row])
        ends = np.cumsum(lengths[rows])
        assert layout.start[rows].tolist() == [0, *ends[:-1]]
        assert ends[-1] <= layout.tokens


@given(LENGTHS)
@settings(deadline=None, max_examples=150)
def test_lines_are_as_few_as_first_fit_decreasing_leaves(lengths):
    fewest = -(-int(lengths.sum()) // int(lengths.max()))
    assert lay_out(lengths).lines <= 2 * fewest  # no two lines are less than half full
    filled = np.bincount(lay_out(lengths).line, weights=lengths)
    assert (filled <= lengths.max() / 2).sum() <= 1


@given(LENGTHS)
@settings(deadline=None, max_examples=150)
def test_packing_moves_each_row_whole(lengths):
    batch = padded_batch(lengths)
    packed, layout = pack(batch, lengths, pad_id=PAD), lay_out(lengths)
    if layout.lines == len(lengths):
        assert packed is batch
        return
    found = set()
    for row, length in enumerate(lengths.tolist()):
        place = (layout.line[row], slice(layout.start[row], layout.start[row] + length))
        assert packed.inputs["input_ids"][place].tolist() == batch.inputs["input_ids"][row, :length].tolist()
        assert packed.labels[place].tolist() == batch.labels[row, :length].tolist()
        assert packed.inputs[POSITION_IDS][place].tolist() == list(range(length))
        (number,) = set(packed.inputs[SEQUENCE_IDS][place].tolist())
        assert number != PADDING
        found.add((int(layout.line[row]), number))
    assert len(found) == len(lengths)  # no two rows of a line have a number in common


@given(LENGTHS)
@settings(deadline=None, max_examples=150)
def test_what_is_no_token_of_a_row_is_padding_that_begins_anew(lengths):
    packed = pack(padded_batch(lengths), lengths, pad_id=PAD)
    if SEQUENCE_IDS not in packed.inputs:
        return
    is_padding = packed.inputs[SEQUENCE_IDS] == PADDING
    assert is_padding.sum() == is_padding.size - lengths.sum()
    assert set(packed.inputs["input_ids"][is_padding].tolist()) <= {PAD}
    assert set(packed.labels[is_padding].tolist()) <= {IGNORED}
    for positions, padding in zip(packed.inputs[POSITION_IDS], is_padding, strict=True):
        assert positions[padding].tolist() == list(range(int(padding.sum())))


@pytest.mark.parametrize(
    ("lengths", "lines"),
    [
        pytest.param([5], 1, id="a row"),
        pytest.param([5, 5, 5], 3, id="rows of a length"),
        pytest.param([5, 3, 3], 3, id="short rows that do not fit together"),
        pytest.param([6, 3, 3], 2, id="short rows that fill a line"),
        pytest.param([3, 10, 4, 3, 6, 4], 3, id="rows in any order"),
        pytest.param([4, 4, 4, 10, 6, 6, 6], 4, id="long rows first, as short ones fill what they leave"),
    ],
)
def test_lines_of_rows(lengths, lines):
    assert lay_out(np.array(lengths)).lines == lines


def test_a_batch_has_no_attention_mask_once_it_is_packed():
    """A model of transformers looks for rows in positions only where no mask is given."""
    packed = pack(padded_batch(np.array([6, 3, 3])), np.array([6, 3, 3]), pad_id=PAD)
    assert set(packed.inputs) == {"input_ids", POSITION_IDS, SEQUENCE_IDS}
