"""Which tokens are masked: as many as before in every draw, words whole, special tokens never, the same for the same row and draw."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuneloop_trainer.dataset.shards import IGNORED
from tuneloop_trainer.tasks.masking import FIXED, NO_UNIT, draw_masks, drawn_for_training, targets_of

MASK = 3
OTHERS = np.arange(10, 60, dtype=np.int32)


@st.composite
def rows(draw):
    """Units of a row: words of one to five tokens, with special tokens between; at least one word."""
    words = draw(st.lists(st.integers(1, 5), min_size=1, max_size=30))
    special = draw(st.lists(st.booleans(), min_size=len(words), max_size=len(words)))
    units = [
        unit
        for number, (size, is_special) in enumerate(zip(words, special, strict=True))
        for unit in [*[NO_UNIT] * is_special, *[number] * size]
    ]
    return np.array([NO_UNIT, *units, NO_UNIT], dtype=np.int32)


def ids_of(units) -> np.ndarray:
    return np.where(units == NO_UNIT, 1, 100 + np.arange(len(units))).astype(np.int32)


DRAWS = st.one_of(st.just(FIXED), st.builds(lambda seed, epoch: drawn_for_training(seed=seed, epoch=epoch), st.integers(0, 2**32), st.integers(0, 99)))  # fmt: skip
PROBABILITIES = st.floats(0.01, 0.99)


@given(rows(), PROBABILITIES, DRAWS, st.integers(0, 2**40))
def test_a_row_has_as_many_targets_in_every_draw_and_none_of_them_is_special(units, probability, draw, row):
    targets = targets_of(int((units != NO_UNIT).sum()), probability)
    ids = ids_of(units)
    labels = draw_masks(units, targets=targets, draw=draw, row=row).labels(ids)
    assert (labels != IGNORED).sum() == targets >= 1
    assert (labels[labels != IGNORED] == ids[labels != IGNORED]).all()
    assert (labels[units == NO_UNIT] == IGNORED).all()


@given(rows(), PROBABILITIES, DRAWS, st.integers(0, 2**40))
def test_words_are_masked_whole_and_only_the_last_one_may_have_tokens_that_are_no_targets(
    units, probability, draw, row
):
    targets = targets_of(int((units != NO_UNIT).sum()), probability)
    masks = draw_masks(units, targets=targets, draw=draw, row=row)
    masked = np.zeros(len(units), dtype=bool)
    masked[masks.masked] = True
    for unit in set(units.tolist()) - {NO_UNIT}:
        assert masked[units == unit].all() or not masked[units == unit].any()
    beyond = masks.masked[targets:]
    assert len(set(units[beyond].tolist())) <= 1
    assert set(units[beyond].tolist()) <= {units[masks.masked[targets - 1]]}


@given(rows(), PROBABILITIES, DRAWS, st.integers(0, 2**40))
def test_the_same_row_and_draw_give_the_same_masks_and_the_labels_do_not_depend_on_what_is_read(
    units, probability, draw, row
):
    targets = targets_of(int((units != NO_UNIT).sum()), probability)
    ids = ids_of(units)
    first, second, unread = (draw_masks(units, targets=targets, draw=draw, row=row) for _ in range(3))
    assert (
        first.inputs(ids, mask_token=MASK, others=OTHERS) == second.inputs(ids, mask_token=MASK, others=OTHERS)
    ).all()
    assert (first.labels(ids) == unread.labels(ids)).all()


@given(rows(), PROBABILITIES, DRAWS, st.integers(0, 2**40))
def test_only_masked_tokens_are_read_otherwise_as_the_mask_or_as_one_of_the_others(units, probability, draw, row):
    targets = targets_of(int((units != NO_UNIT).sum()), probability)
    ids = ids_of(units)
    masks = draw_masks(units, targets=targets, draw=draw, row=row)
    inputs = masks.inputs(ids, mask_token=MASK, others=OTHERS)
    changed = np.flatnonzero(inputs != ids)
    assert set(changed.tolist()) <= set(masks.masked.tolist())
    assert set(inputs[changed].tolist()) <= {MASK, *OTHERS.tolist()}


def test_epochs_seeds_and_rows_have_draws_of_their_own():
    units = np.arange(200, dtype=np.int32)
    draws = [(drawn_for_training(seed=seed, epoch=epoch), row) for seed in (1, 2) for epoch in (0, 1) for row in (0, 1)]
    found = {
        tuple(draw_masks(units, targets=30, draw=draw, row=row).masked.tolist()) for draw, row in [*draws, (FIXED, 0)]
    }
    assert len(found) == len(draws) + 1


def test_of_the_masked_tokens_80_percent_are_the_mask_10_any_token_and_10_as_they_are():
    units = np.arange(100_000, dtype=np.int32)
    ids = np.full(len(units), 5, dtype=np.int32)
    masks = draw_masks(units, targets=50_000, draw=FIXED, row=0)
    read = masks.inputs(ids, mask_token=MASK, others=OTHERS)[masks.masked]
    assert [(read == MASK).mean(), np.isin(read, OTHERS).mean(), (read == 5).mean()] == pytest.approx([0.8, 0.1, 0.1], abs=0.01)  # fmt: skip
    assert len(set(read.tolist()) & set(OTHERS.tolist())) == len(OTHERS)


def test_every_token_is_as_likely_to_be_a_target():
    units = np.arange(20, dtype=np.int32)
    counts = np.zeros(20)
    for epoch in range(4000):
        labels = draw_masks(units, targets=3, draw=drawn_for_training(seed=0, epoch=epoch), row=7).labels(units)
        counts += labels != IGNORED
    assert counts / 4000 == pytest.approx(np.full(20, 0.15), abs=0.03)


@pytest.mark.parametrize(
    ("maskable", "probability", "targets"),
    [(100, 0.15, 15), (10, 0.15, 2), (3, 0.15, 1), (1, 0.15, 1), (0, 0.15, 0), (1, 0.99, 1), (10, 0.99, 10), (3, 0.5, 2)],
)  # fmt: skip
def test_the_number_of_targets_is_the_part_of_the_tokens_rounded_and_at_least_one(maskable, probability, targets):
    assert targets_of(maskable, probability) == targets


def test_blocks_of_a_text_have_masks_of_their_own_and_the_first_those_of_the_text():
    units = np.arange(200, dtype=np.int32)
    masks = [draw_masks(units, targets=20, draw=FIXED, row=7, block=block).masked.tolist() for block in range(3)]
    assert masks[0] == draw_masks(units, targets=20, draw=FIXED, row=7).masked.tolist()
    assert len(set(map(tuple, masks))) == 3
