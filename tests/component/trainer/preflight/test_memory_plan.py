"""The memory of a rank: what each stage, method and length adds, as a formula of the model's shape."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tuneloop_trainer.engine.buckets import BUCKET
from tuneloop_trainer.models.trace import ByteFormula, ModelShape
from tuneloop_trainer.preflight.memory_plan import (
    CUDA_CONTEXT,
    GATHERED,
    LIBRARIES,
    Layout,
    memory_plan,
    saved_bytes,
)

SHAPE = ModelShape(
    parameters=10_000_000,
    trainable=10_000_000,
    kept=ByteFormula(per_token=100_000, per_pair=1000),
    freed=ByteFormula(per_token=10_000, per_pair=0),
)
LORA = replace(SHAPE, trainable=100_000)
ALONE = Layout(tokens=64, micro_batch=16, zero_stage=0, world_size=1, precision="fp32", gpu=False)


def test_stage_0_holds_weights_gradients_and_two_moments_in_fp32():
    plan = memory_plan(SHAPE, ALONE)
    assert (plan.weights, plan.gradients, plan.optimizer) == (40_000_000, 40_000_000, 80_000_000)


def test_the_parts_make_the_sum():
    plan = memory_plan(SHAPE, ALONE)
    assert plan.total == plan.weights + plan.gradients + plan.optimizer + plan.activations + plan.framework


def test_activations_grow_with_rows_and_with_pairs_of_tokens():
    assert memory_plan(SHAPE, ALONE).activations == 16 * 64 * (100_000 + 64 * 1000)
    assert memory_plan(SHAPE, replace(ALONE, micro_batch=8)).activations == 8 * 64 * (100_000 + 64 * 1000)


@pytest.mark.parametrize(("target_tokens", "planned_for"), [(0, 64), (24, 64), (256, 256)])
def test_the_longest_sequence_counts_whether_the_model_reads_or_writes_it(target_tokens, planned_for):
    found = memory_plan(SHAPE, replace(ALONE, target_tokens=target_tokens))
    assert found == memory_plan(SHAPE, replace(ALONE, tokens=planned_for))


def test_the_moments_of_zero_are_shared_out_and_its_masters_come_to_them():
    assert memory_plan(SHAPE, replace(ALONE, zero_stage=2, world_size=4)).optimizer == 3 * 4 * 10_000_000 // 4


@pytest.mark.parametrize("zero_stage", [0, 1, 2, 3])
def test_frozen_weights_have_neither_gradients_nor_moments(zero_stage):
    layout = replace(ALONE, zero_stage=zero_stage)
    full, lora = memory_plan(SHAPE, layout), memory_plan(LORA, layout)
    assert lora.gradients + lora.optimizer < (full.gradients + full.optimizer) / 50
    assert lora.weights == full.weights


def test_a_process_holds_its_libraries_and_its_part_of_a_checkpoint():
    assert memory_plan(SHAPE, ALONE).framework == LIBRARIES + saved_bytes(SHAPE)
    assert memory_plan(SHAPE, replace(ALONE, world_size=2)).framework == LIBRARIES + saved_bytes(SHAPE) // 2


def test_holes_of_the_forward_pass_count_where_nothing_comes_to_lie_in_them():
    wasteful = replace(LORA, freed=ByteFormula(per_token=100_000, per_pair=0))
    holes = memory_plan(wasteful, ALONE).framework - LIBRARIES
    assert holes == pytest.approx(16 * 64 * 100_000 / 2, rel=0.05)
    assert memory_plan(replace(SHAPE, freed=wasteful.freed), ALONE).framework == LIBRARIES + saved_bytes(SHAPE)


def test_the_buckets_of_zero_have_a_limit():
    huge = replace(SHAPE, parameters=10**11, trainable=10**11)
    alone = replace(ALONE, zero_stage=2, precision="bf16", gpu=True)
    assert memory_plan(huge, alone).framework == CUDA_CONTEXT + 4 * BUCKET


def test_stage_3_shares_the_weights_out():
    huge = replace(SHAPE, parameters=10**11, trainable=1)
    layout = replace(ALONE, zero_stage=3, world_size=10, precision="bf16", gpu=True)
    assert memory_plan(huge, layout).weights == 2 * (10**10 + GATHERED)


def test_what_is_on_its_way_between_ranks_on_cpu_is_there_twice():
    alone, together = (memory_plan(SHAPE, replace(ALONE, zero_stage=3, world_size=ranks)).weights for ranks in (1, 2))
    assert (alone, together) == (4 * 20_000_000, 4 * 25_000_000)


def test_a_gpu_computes_with_weights_of_two_bytes_and_holds_no_checkpoint():
    on_gpu = replace(ALONE, precision="bf16", zero_stage=1, gpu=True)
    assert memory_plan(SHAPE, on_gpu).weights == 20_000_000
    assert memory_plan(SHAPE, on_gpu).framework == CUDA_CONTEXT + 4 * BUCKET
