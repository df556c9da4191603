"""Which setting is offered where the ranks of a pod do not fit."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tuneloop_trainer.errors import ConfigError
from tuneloop_trainer.models.trace import ByteFormula, ModelShape
from tuneloop_trainer.preflight.feasible import Pod, nearest, refuse_too_large
from tuneloop_trainer.preflight.memory_plan import SHARED_LIBRARIES, Layout, memory_plan

NOTHING = ByteFormula(per_token=0, per_pair=0)
ACTIVE = ModelShape(
    parameters=1_000_000, trainable=1_000_000, kept=ByteFormula(per_token=1_000_000, per_pair=0), freed=NOTHING
)
"""Its memory goes with the micro-batch."""
LARGE = ModelShape(parameters=2_000_000_000, trainable=10, kept=ByteFormula(per_token=1, per_pair=0), freed=NOTHING)
"""Its memory goes with the weights, which only stage 3 shares out."""
LAYOUT = Layout(tokens=128, micro_batch=16, zero_stage=0, world_size=1, precision="fp32", gpu=False)
GANG = replace(LAYOUT, world_size=4)


def limit(shape: ModelShape, layout: Layout, *, ranks: int = 1) -> Pod:
    """Return the smallest pod that holds this layout."""
    return Pod(ranks=ranks, limit=Pod(ranks=ranks, limit=None).needs(memory_plan(shape, layout)))


def offered(shape: ModelShape, pod: Pod, layout: Layout = LAYOUT) -> str:
    return nearest(shape, layout, pod=pod, global_batch=32)[0]


def test_what_fits_is_not_refused():
    refuse_too_large(ACTIVE, LAYOUT, pod=limit(ACTIVE, LAYOUT), global_batch=32)


def test_where_no_limit_is_set_nothing_is_refused():
    refuse_too_large(ACTIVE, LAYOUT, pod=Pod(ranks=64, limit=None), global_batch=32)


@pytest.mark.parametrize(
    ("shape", "layout", "fitting", "expected"),
    [
        pytest.param(
            ACTIVE, LAYOUT, {"micro_batch": 8}, "training.microBatchSize: 8", id="the next smaller micro-batch"
        ),
        pytest.param(ACTIVE, LAYOUT, {"micro_batch": 2}, "training.microBatchSize: 2", id="a much smaller one"),
        pytest.param(
            LARGE, GANG, {"zero_stage": 3}, "deepspeed.stage: 3", id="a higher stage where rows are not what counts"
        ),
        pytest.param(
            ACTIVE,
            LAYOUT,
            {"micro_batch": 1, "tokens": 64},
            "training.microBatchSize: 1 and data.maxTokens: 64",
            id="shorter texts where one row is too many",
        ),
    ],
)
def test_the_nearest_setting_that_fits_is_offered(shape, layout, fitting, expected):
    assert offered(shape, limit(shape, replace(layout, **fitting)), layout) == expected


def test_micro_batches_divide_the_global_batch():
    layout = replace(LAYOUT, micro_batch=16)
    pod = limit(ACTIVE, replace(layout, micro_batch=13))
    assert nearest(ACTIVE, layout, pod=pod, global_batch=48)[0] == "training.microBatchSize: 12"


def test_a_lower_stage_is_offered_where_the_buffers_of_zero_are_what_is_too_much():
    full = replace(LARGE, parameters=50_000_000, trainable=50_000_000)
    assert offered(full, limit(full, LAYOUT), replace(LAYOUT, zero_stage=2)) == "deepspeed.stage: 0"


def test_a_single_rank_is_not_sent_to_a_stage_that_shares_with_nobody():
    assert offered(LARGE, limit(LARGE, replace(GANG, zero_stage=3))) == "resources.memory: at least 9Gi"


def test_the_memory_that_the_job_takes_as_it_is_is_always_offered():
    pod = Pod(ranks=2, limit=1)
    assert nearest(LARGE, LAYOUT, pod=pod, global_batch=32) == ["resources.memory: at least 17Gi"]


def test_the_ranks_of_a_pod_share_the_pages_of_their_libraries():
    plan = memory_plan(ACTIVE, LAYOUT)
    assert Pod(ranks=3, limit=None).needs(plan) == 3 * plan.total - 2 * SHARED_LIBRARIES


def test_a_refusal_names_field_value_need_and_way_out():
    with pytest.raises(
        ConfigError,
        match=r"resources.memory: 1.5 GiB is too little: a rank needs 2.9 GiB at the peak \(each: weights 4 MiB, ",
    ) as refused:
        refuse_too_large(ACTIVE, LAYOUT, pod=Pod(ranks=1, limit=3 * 2**29), global_batch=32)
    assert refused.value.hint == "set training.microBatchSize: 4, or resources.memory: at least 3Gi"
