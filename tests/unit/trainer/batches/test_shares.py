"""What a rank runs of a step, and how its tokens are counted."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from tuneloop_trainer.training.batch_schedule import BatchSchedule, EpochPlan, Tokens, plan_epoch, shares


def test_a_dummy_is_one_row_of_the_first_micro_batch():
    """It costs least, and its loss and random numbers are those of nobody."""
    micro_batches = [np.array([7, 8, 9]), np.array([3, 4]), np.array([5])]
    turns = shares(micro_batches, rank=1, world_size=2)
    assert [(share.micro_batch, share.rows.tolist(), share.live) for share in turns] == [
        (1, [3, 4], True),
        (0, [7], False),
    ]


def test_tokens_without_padding_and_no_tokens_have_no_padding_fraction():
    assert Tokens(0, 0).padding_fraction == 0.0
    assert Tokens(3, 4).padding_fraction == 0.25
    assert Tokens(3, 4) + Tokens(1, 1) == Tokens(4, 5)


def test_the_tokens_of_a_step_are_those_of_its_ranks():
    lengths = np.array([5, 5, 2, 2, 9, 9, 1])
    batch_schedule = BatchSchedule(lengths, seed=1, global_batch=6, micro_batch=2)
    for step in range(4):
        micro_batches = batch_schedule.micro_batches(step)
        computed = [int(lengths[rows].max()) * len(rows) for rows in micro_batches]
        assert batch_schedule.tokens_by_rank(step, 2) == [sum(computed[0::2]), sum(computed[1::2])]
        assert batch_schedule.tokens(step) == Tokens(
            sum(int(lengths[rows].sum()) for rows in micro_batches), sum(computed)
        )


def test_a_plan_knows_its_steps_and_cuts_them_into_micro_batches():
    plan = EpochPlan(rows=np.array([4, 3, 2, 1, 0]), starts=np.array([0, 4, 5]), micro_batch=3)
    assert plan.steps == 2
    assert [rows.tolist() for rows in plan.micro_batches(0)] == [[4, 3, 2], [1]]
    assert [rows.tolist() for rows in plan.micro_batches(1)] == [[0]]


@pytest.mark.parametrize("rank", [0, 1, 2])
def test_more_ranks_than_micro_batches_take_one_turn(rank):
    (turn,) = shares([np.array([1])], rank=rank, world_size=3)
    assert turn.live is (rank == 0)


def test_a_plan_of_several_windows_stays_as_it_is():
    """A resumed run is exact across releases, so that neither the windows nor the draws of numpy may change."""
    lengths = np.arange(1003) * 7919 % 64 + 1
    plan = plan_epoch(lengths, epoch=2, seed=42, global_batch=8, micro_batch=4)
    assert hashlib.sha256(plan.rows.astype("<i8").tobytes()).hexdigest()[:16] == "fcfd357087e09c6f"
