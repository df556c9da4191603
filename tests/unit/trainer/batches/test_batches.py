"""The plan of batches: every row once, the same for any number of ranks, hardly any padding."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prepared_runs import DEMO, movie_sentences

from tuneloop_trainer.training.batch_schedule import (
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


def test_the_order_of_lengths_is_random():
    lengths = lengths_of(4000)
    epoch_plan = plan_epoch(lengths, epoch=0, seed=1, global_batch=8, micro_batch=8)
    longest = np.array([lengths[epoch_plan.step_rows(step)].max() for step in range(epoch_plan.steps)])
    assert abs(np.corrcoef(np.arange(len(longest)), longest)[0, 1]) < 0.15


@pytest.mark.skipif(
    not DEMO.exists(), reason="the real data is not here: python dev/real_data.py .tuneloop/claims/demo"
)
@pytest.mark.parametrize(("global_batch", "micro_batch"), [(32, 16), (32, 8), (16, 16), (64, 8)])
def test_real_sentences_are_padded_by_less_than_five_percent(global_batch, micro_batch):
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(DEMO / "minilm")
    ids = tokenizer([text for text, _ in movie_sentences()], truncation=True, max_length=64)["input_ids"]
    lengths = np.array([len(tokens) for tokens in ids])
    batch_schedule = BatchSchedule(lengths, seed=42, global_batch=global_batch, micro_batch=micro_batch)
    epoch = sum((batch_schedule.tokens(step) for step in range(batch_schedule.steps_per_epoch)), Tokens(0, 0))
    assert epoch.real == lengths.sum()
    assert epoch.padding_fraction < 0.05


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


def test_random_seeds_differ_in_the_bits_that_torch_uses():
    seeds = {
        random_seed(seed, step=step, micro_batch=g) & 0xFFFFFFFF
        for seed in (1, 2)
        for step in range(200)
        for g in range(5)
    }
    assert len(seeds) == 2000
    assert random_seed(1, step=2, micro_batch=3) == random_seed(1, step=2, micro_batch=3)
