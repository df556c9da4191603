"""The plan of batches: every row once, the same for any number of ranks, hardly any padding."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tuneloop_trainer.training.batch_schedule import (
    _ORDER,
    WINDOW,
    BatchSchedule,
    Tokens,
    count_tokens,
    plan_epoch,
    random_seed,
    shares,
)

SIZES = st.tuples(st.integers(1, 700), st.integers(1, 12), st.integers(1, 4))


def lengths_of(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(3, 60, size=count)


def plan(count: int, *, micro: int = 2, per_step: int = 3, epoch: int = 0, seed: int = 7):
    return plan_epoch(lengths_of(count), epoch=epoch, seed=seed, global_batch=micro * per_step, micro_batch=micro)


@given(SIZES, st.integers(0, 5), st.integers(0, 2**31 - 1))
@settings(deadline=None, max_examples=80)
def test_every_row_is_trained_once_per_epoch(sizes, epoch, seed):
    count, micro, per_step = sizes
    epoch_plan = plan(count, micro=micro, per_step=per_step, epoch=epoch, seed=seed)
    steps = [epoch_plan.micro_batches(step) for step in range(epoch_plan.steps)]
    assert sorted(row for step in steps for rows in step for row in rows) == list(range(count))
    assert epoch_plan.steps == -(-count // (micro * per_step))
    assert all(sum(map(len, step)) == micro * per_step for step in steps[:-1])
    assert all(len(rows) == micro for step in steps for rows in step[:-1])


@given(SIZES, st.integers(1, 5))
@settings(deadline=None, max_examples=80)
def test_ranks_share_out_a_step_and_make_the_same_number_of_turns(sizes, world_size):
    count, micro, per_step = sizes
    micro_batches = plan(count, micro=micro, per_step=per_step).micro_batches(0)
    by_rank = [shares(micro_batches, rank=rank, world_size=world_size) for rank in range(world_size)]
    assert {len(mine) for mine in by_rank} == {-(-len(micro_batches) // world_size)}
    live = [share for mine in by_rank for share in mine if share.live]
    assert sorted(share.micro_batch for share in live) == list(range(len(micro_batches)))
    assert all(share.rows is micro_batches[share.micro_batch] for share in live)
    assert all(
        share.micro_batch % world_size == rank for rank, mine in enumerate(by_rank) for share in mine if share.live
    )


def test_an_epoch_is_a_function_of_seed_and_epoch():
    assert (plan(100).rows == plan(100).rows).all()
    assert (plan(100).rows != plan(100, epoch=1).rows).any()
    assert (plan(100).rows != plan(100, seed=8).rows).any()


def batch_lengths(lengths: np.ndarray, *, seed: int) -> list[np.ndarray]:
    """Return the lengths of the rows of each batch of 8 rows, in the order of training."""
    epoch_plan = plan_epoch(lengths, epoch=0, seed=seed, global_batch=8, micro_batch=8)
    return [lengths[epoch_plan.step_rows(step)] for step in range(epoch_plan.steps)]


@pytest.mark.parametrize(
    ("batches", "limit"),
    [
        pytest.param(WINDOW, 0.5, id="batches of one window are shuffled"),
        pytest.param(10 * WINDOW, 0.2, id="rows are shuffled over the whole epoch, not only within a window"),
    ],
)
@pytest.mark.parametrize("seed", range(5))
def test_long_rows_come_at_any_time_of_an_epoch(batches, limit, seed):
    longest = [lengths.max() for lengths in batch_lengths(np.arange(8 * batches) + 1, seed=seed)]
    assert abs(np.corrcoef(np.arange(batches), longest)[0, 1]) < limit


def test_like_lengths_are_brought_together_within_a_window_and_not_beyond():
    batches = 20 * WINDOW
    spread = np.mean([np.ptp(lengths) for lengths in batch_lengths(np.arange(8 * batches), seed=1)])
    within_a_window = 7 / 9 * 8 * batches / 50  # of 8 neighbours among the lengths of a window of 50 batches
    assert spread == pytest.approx(within_a_window, rel=0.15)


REVIEWS = [
    7, 21, 54, 80, 107, 132, 160, 193, 203, 219, 239, 234, 259, 256, 336, 330, 328, 291, 335, 359, 344, 326, 355, 352, 360, 336, 288, 295, 297,
    260, 253, 242, 268, 219, 172, 176, 166, 171, 124, 129, 114, 98, 89, 72, 60, 57, 45, 32, 55, 44, 29, 25, 12, 18, 9, 8, 6, 1, 8, 5, 9,
]  # fmt: skip
"""How many sentences of the film reviews of `dev/real_data.py` have 4, 5, … 64 tokens with MiniLM's tokenizer."""


@pytest.mark.parametrize(("global_batch", "micro_batch"), [(32, 16), (32, 8), (16, 16), (64, 8)])
def test_sentences_of_reviews_are_padded_by_less_than_five_percent(global_batch, micro_batch):
    lengths = np.repeat(np.arange(4, 65), REVIEWS)
    batch_schedule = BatchSchedule(lengths, seed=42, global_batch=global_batch, micro_batch=micro_batch)
    epoch = sum((batch_schedule.tokens(step) for step in range(batch_schedule.steps_per_epoch)), Tokens(0, 0))
    assert epoch.real == lengths.sum()
    assert epoch.padding_fraction < 0.05


def test_a_release_trains_the_same_rows_with_the_same_random_numbers_as_the_one_before():
    """A resumed run is exact across releases. numpy draws these numbers; its version is part of a checkpoint's fingerprint."""
    epoch_plan = plan_epoch(np.arange(1, 14), epoch=1, seed=7, global_batch=4, micro_batch=2)
    assert [rows.tolist() for step in range(4) for rows in epoch_plan.micro_batches(step)] == [
        [4, 6], [7, 8], [9, 10], [11, 12], [0, 1], [2, 3], [5],
    ]  # fmt: skip
    assert [random_seed(42, step=step, micro_batch=1) for step in (0, 1)] == [
        2493025060281902430,
        11152073925464766254,
    ]


def test_the_order_of_rows_and_dropout_share_no_random_numbers():
    order = np.random.SeedSequence([7, _ORDER, 3]).generate_state(1, np.uint64)[0]
    assert random_seed(7, step=3, micro_batch=0) != order


def test_a_run_goes_on_into_the_next_epoch():
    batch_schedule = BatchSchedule(lengths_of(10), seed=1, global_batch=4, micro_batch=2)
    assert batch_schedule.steps_per_epoch == 3
    epochs = [
        [row for step in range(3 * epoch, 3 * epoch + 3) for rows in batch_schedule.micro_batches(step) for row in rows]
        for epoch in (0, 1)
    ]
    assert sorted(epochs[0]) == sorted(epochs[1]) == list(range(10))
    assert epochs[0] != epochs[1]


def test_padding_is_counted():
    tokens = count_tokens([np.array([0, 1]), np.array([2])], np.array([4, 2, 5]))
    assert (tokens.real, tokens.computed) == (11, 13)
    assert tokens.padding_fraction == pytest.approx(2 / 13)


def test_tokens_of_packed_micro_batches_are_those_of_their_lines():
    lengths = np.array([6, 3, 3, 5, 2])
    micro_batches = [np.array([0, 1, 2]), np.array([3, 4])]
    tokens = count_tokens(micro_batches, lengths[:, None], packed=True)
    assert (tokens.real, tokens.computed) == (19, 2 * 6 + 2 * 5)
    assert count_tokens(micro_batches, lengths[:, None]).computed == 3 * 6 + 2 * 5


@pytest.mark.parametrize("packed", [False, True])
def test_packing_changes_no_row_of_a_step(packed):
    lengths = lengths_of(100)[:, None]
    batch_schedule = BatchSchedule(lengths, seed=1, global_batch=8, micro_batch=4, packed=packed)
    plain = plan_epoch(lengths, epoch=0, seed=1, global_batch=8, micro_batch=4)
    for step in range(plain.steps):
        found = [rows.tolist() for rows in batch_schedule.micro_batches(step)]
        assert found == [rows.tolist() for rows in plain.micro_batches(step)]


def test_a_packed_run_counts_the_tokens_of_lines_by_step_and_by_rank():
    batch_schedule = BatchSchedule(np.array([[6], [3], [3], [6]]), seed=1, global_batch=4, micro_batch=4, packed=True)
    assert (batch_schedule.tokens(0).computed, batch_schedule.tokens_by_rank(0, 2)) == (18, [18, 0])


def test_random_seeds_differ_in_the_bits_that_torch_uses():
    seeds = {
        random_seed(seed, step=step, micro_batch=g) & 0xFFFFFFFF
        for seed in (1, 2)
        for step in range(200)
        for g in range(5)
    }
    assert len(seeds) == 2000
    assert random_seed(1, step=2, micro_batch=3) == random_seed(1, step=2, micro_batch=3)


def test_rows_of_two_sequences_are_grouped_by_both_and_padded_each_to_its_own_longest():
    lengths = np.array([[3, 9], [8, 2], [2, 1], [9, 9]])
    batches = [np.array([0, 1]), np.array([2])]
    assert count_tokens(batches, lengths) == Tokens(real=25, computed=2 * (8 + 9) + 3)
    order = plan_epoch(lengths, epoch=0, seed=1, global_batch=4, micro_batch=2).rows
    assert lengths[order].sum(axis=1).tolist() == [3, 10, 12, 18]
