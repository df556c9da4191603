"""Blocks of long texts: each target once, special tokens around each block, no block longer than asked for."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tuneloop_api.contract.settings import Settings
from tuneloop_trainer.dataset.shards import IGNORED, LABELS, WINDOW
from tuneloop_trainer.tasks import TASKS, task_of
from tuneloop_trainer.tasks.blocks import blocks_of
from tuneloop_trainer.tasks.fill_mask import UNITS
from tuneloop_trainer.tasks.language_model import BYTES
from tuneloop_trainer.tasks.masking import NO_UNIT
from tuneloop_trainer.tasks.task import EncodedRow

CLS, SEP, UNKNOWN = 0, 1, 2


def masked_text(ids: list[int]) -> EncodedRow:
    """Return a text within [CLS] and [SEP]; an unknown token has bytes, and is never masked."""
    tokens = np.array([CLS, *ids, SEP], dtype=np.int32)
    is_word = ~np.isin(tokens, (CLS, SEP, UNKNOWN))
    sizes = np.where(np.isin(tokens, (CLS, SEP)), 0, 3)
    units = np.where(is_word, np.arange(len(tokens)), NO_UNIT)
    return EncodedRow(input_ids=tokens, token_columns={UNITS: units.astype(np.int32), BYTES: sizes.astype(np.int32)})


def written_text(length: int) -> EncodedRow:
    """Return a text of which each token but the first is a target, one place before it."""
    ids = np.arange(10, 10 + length, dtype=np.int32)
    return EncodedRow(input_ids=ids, token_columns={LABELS: np.append(ids[1:], IGNORED).astype(np.int32)})


def blocks(task: str, row: EncodedRow, most: int) -> list[EncodedRow]:
    wire = {"model": {"uri": "file:///m"}, "task": task, "data": {"train": [{"uri": "file:///d"}], "format": "text"}}
    windows = task_of(Settings.from_wire(wire)).windows
    assert windows is not None
    return windows(row, most)


@given(st.integers(2, 60), st.integers(8, 20))
@settings(deadline=None, max_examples=80)
def test_each_token_of_a_text_is_written_once(length, most):
    found = blocks("text-generation", written_text(length), most)
    labels = np.concatenate([block.token_columns[LABELS] for block in found])
    assert labels[labels != IGNORED].tolist() == list(range(11, 10 + length))
    assert all(len(block.input_ids) <= most for block in found)
    assert all((block.token_columns[LABELS] != IGNORED).any() for block in found)
    assert [block.row_columns[WINDOW] for block in found] == list(range(len(found)))


@given(st.lists(st.integers(UNKNOWN, 9), min_size=1, max_size=60), st.integers(8, 20))
@settings(deadline=None, max_examples=120)
def test_each_word_of_a_text_may_be_masked_once_within_special_tokens(ids, most):
    found = blocks("fill-mask", masked_text(ids), most)
    inside = [block.input_ids[1:-1].tolist() for block in found]
    assert [token for text in inside for token in text if token != UNKNOWN] == [
        token for token in ids if token != UNKNOWN
    ]
    assert {(int(block.input_ids[0]), int(block.input_ids[-1])) for block in found} <= {(CLS, SEP)}
    assert all(len(block.input_ids) <= most for block in found)
    assert all((block.token_columns[UNITS] != NO_UNIT).any() for block in found)
    assert [block.row_columns[WINDOW] for block in found] == list(range(len(found)))


def test_a_text_that_fits_is_one_block_as_it_is():
    row = masked_text([5, 6, 7, 8, 9, 5])
    (block,) = blocks("fill-mask", row, 8)
    assert block.input_ids.tolist() == row.input_ids.tolist()
    assert block.row_columns == {WINDOW: 0}


def test_a_token_too_many_makes_a_second_block():
    first, second = blocks("fill-mask", masked_text([5, 6, 7, 8, 9, 5, 4]), 8)
    assert first.input_ids.tolist() == [CLS, 5, 6, 7, 8, 9, 5, SEP]
    assert second.input_ids.tolist() == [CLS, 4, SEP]


def test_a_text_without_a_word_has_no_block():
    assert blocks("fill-mask", masked_text([UNKNOWN] * 30), 8) == []
    assert blocks("fill-mask", masked_text([]), 8) == []


def test_a_block_without_anything_to_learn_is_left_out():
    row = EncodedRow(input_ids=np.arange(6, dtype=np.int32))
    has_target = np.array([True, False, False, False, True, False])
    found = blocks_of(row, 2, has_target=has_target)
    assert [block.input_ids.tolist() for block in found] == [[0, 1], [4, 5]]
    assert [block.row_columns[WINDOW] for block in found] == [0, 1]


@pytest.mark.parametrize(
    ("task", "format_", "in_blocks"),
    [
        ("fill-mask", "text", True),
        ("fill-mask", "auto", True),
        ("text-generation", "text", True),
        ("text-generation", "messages", False),
        ("text-generation", "prompt-completion", False),
        ("text-classification", "text-label", False),
    ],
)
def test_texts_alone_are_read_in_blocks(task, format_, in_blocks):
    wire = {"model": {"uri": "file:///m"}, "task": task, "data": {"train": [{"uri": "file:///d"}], "format": format_}}
    assert (task_of(Settings.from_wire(wire)).windows is not None) is in_blocks


def test_no_other_task_has_blocks():
    assert [name for name, task in TASKS.items() if task.windows is not None] == ["question-answering", "fill-mask"]
