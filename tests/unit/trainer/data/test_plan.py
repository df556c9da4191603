"""What the plan chooses where the spec leaves a value open."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from run_configs import run_config

from tuneloop_api.contract.results import Resolved
from tuneloop_trainer.data.plan import planned_micro_batch, resolve
from tuneloop_trainer.errors import ConfigError


def plan(tmp_path, *, rows: int = 1000, architecture: str = "encoder", **settings) -> Resolved:
    config = run_config(tmp_path, **settings)
    return resolve(config.settings, labels=["a", "b"], max_tokens=64, train_rows=rows, architecture=architecture)


@pytest.mark.parametrize(
    ("global_batch", "micro_batch"),
    [(32, 16), (64, 16), (16, 8), (8, 4), (48, 12), (1, 1), (2, 2), (7, 7), (34, 2), (1000, 10), (17, 1)],
)
def test_the_micro_batch_is_large_and_leaves_two_ranks_the_same_work(global_batch, micro_batch):
    assert planned_micro_batch(global_batch) == micro_batch


@given(global_batch=st.integers(1, 4096))
def test_the_micro_batch_divides_the_global_one(global_batch):
    micro_batch = planned_micro_batch(global_batch)
    assert global_batch % micro_batch == 0
    assert 1 <= micro_batch <= 16


@pytest.mark.parametrize(
    ("training", "rows", "steps_per_epoch", "total", "warmup"),
    [
        pytest.param({"epochs": 3}, 1000, 32, 96, 6, id="whole epochs"),
        pytest.param({"epochs": 0.5}, 1000, 32, 16, 1, id="half an epoch"),
        pytest.param({"epochs": 0.001}, 1000, 32, 1, 1, id="never no step"),
        pytest.param({"epochs": 0.14}, 1600, 50, 7, 1, id="a product that is a little more than a whole number"),
        pytest.param({"maxSteps": 10}, 1000, 32, 10, 1, id="steps are given"),
        pytest.param({"epochs": 1, "globalBatchSize": 1000}, 1001, 2, 2, 1, id="the last batch may be small"),
        pytest.param({"epochs": 1, "warmupRatio": 0}, 1000, 32, 32, 0, id="no warm-up"),
    ],
)
def test_steps_follow_from_rows_and_batch(tmp_path, training, rows, steps_per_epoch, total, warmup):
    resolved = plan(tmp_path, rows=rows, training=training)
    assert (resolved.steps_per_epoch, resolved.total_steps, resolved.warmup_steps) == (steps_per_epoch, total, warmup)


@pytest.mark.parametrize(
    ("method", "architecture", "rate"),
    [
        ("full", "encoder", 2e-5),
        ("full", "decoder", 1e-5),
        ("full", "encoder-decoder", 3e-4),
        ("lora", "encoder", 2e-4),
    ],
)
def test_the_learning_rate_follows_from_method_and_architecture(tmp_path, method, architecture, rate):
    assert plan(tmp_path, architecture=architecture, method={"type": method}).learning_rate == rate
    assert plan(tmp_path, architecture=architecture, training={"learningRate": 0.5}).learning_rate == 0.5


@pytest.mark.parametrize(
    ("gang", "deepspeed", "precision", "zero_stage"),
    [
        pytest.param(
            {"gpusPerNode": 0, "nodes": 2}, {"offloadOptimizer": "cpu"}, "fp32", 2, id="what is offloaded is shared out"
        ),
        pytest.param({"gpusPerNode": 0}, {}, "fp32", 0, id="one CPU rank"),
        pytest.param({"gpusPerNode": 0, "nodes": 2}, {}, "fp32", 0, id="two CPU ranks"),
        pytest.param({"gpusPerNode": 8, "processesPerNode": 8}, {}, "bf16", 2, id="GPUs"),
        pytest.param({"gpusPerNode": 0}, {"stage": 0}, "fp32", 0, id="stage 0 is kept in fp32"),
        pytest.param({"gpusPerNode": 1}, {"stage": 0}, "bf16", 1, id="stage 0 has no fp32 copy for bf16"),
        pytest.param({"gpusPerNode": 1}, {"stage": 3}, "bf16", 3, id="a given stage is kept"),
    ],
)
def test_precision_and_stage_follow_from_the_gang(tmp_path, gang, deepspeed, precision, zero_stage):
    resolved = plan(tmp_path, gang=gang, deepspeed=deepspeed)
    assert (resolved.precision, resolved.zero_stage) == (precision, zero_stage)


def test_the_plan_does_not_depend_on_the_number_of_nodes_where_the_result_would(tmp_path):
    small, large = (plan(tmp_path, gang={"gpusPerNode": 0, "nodes": nodes}) for nodes in (2, 64))
    assert small == large


def test_a_micro_batch_that_does_not_divide_is_refused_with_one_that_does(tmp_path):
    with pytest.raises(ConfigError, match="training.microBatchSize: 5 does not divide globalBatchSize 32") as caught:
        plan(tmp_path, training={"microBatchSize": 5})
    assert "microBatchSize: 16" in caught.value.hint


def test_a_warm_up_longer_than_the_run_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="training.warmupSteps: 99 is more than the whole run, which has 32 steps"):
        plan(tmp_path, training={"warmupSteps": 99, "warmupRatio": None})


@pytest.mark.parametrize(
    ("method", "architecture", "deepspeed", "field"),
    [
        ({"type": "prompt"}, "decoder", {}, "method.type"),
        ({"type": "prefix"}, "encoder-decoder", {}, "method.type"),
        ({"useDora": True}, "encoder", {"stage": 3}, "deepspeed.stage"),
    ],
)
def test_what_the_table_of_combinations_refuses_has_no_plan(tmp_path, method, architecture, deepspeed, field):
    with pytest.raises(ConfigError, match=rf"^spec\.{field}: ") as refused:
        plan(tmp_path, architecture=architecture, method=method, deepspeed=deepspeed)
    assert refused.value.hint
