"""What DeepSpeed is asked for, and how a lost peer and a missing variable are reported."""

from __future__ import annotations

import math

import pytest
import torch

from tuneloop_trainer.engine.collectives import lost_peers_named, torch_reason
from tuneloop_trainer.engine.engine import (
    EngineSettings,
    _average_gradients,
    _bytes_of,
    _norm_in_fp64,
    _parameter_groups,
    _peak_resident_bytes,
)
from tuneloop_trainer.engine.master_weights import full_shape, trainable
from tuneloop_trainer.engine.process_group import _number
from tuneloop_trainer.engine.settings import deepspeed_config
from tuneloop_trainer.errors import CollectiveError, ConfigError


def settings(**changes) -> EngineSettings:
    given = {
        "zero_stage": 2, "precision": "fp32", "micro_batch_size": 16, "max_grad_norm": 0.5, "learning_rate": 1e-3, "weight_decay": 0.01, "beta1": 0.9,
        "beta2": 0.999, "epsilon": 1e-8,
    }  # fmt: skip
    return EngineSettings(**(given | changes))


def asked(*, zero_stage: int, clipping: float = 0.5, **more) -> dict:
    return {
        "train_micro_batch_size_per_gpu": 16,
        "managed_gradient_accumulation": False,
        "gradient_clipping": clipping,
        "zero_allow_untested_optimizer": True,
        "zero_optimization": {"stage": zero_stage, "overlap_comm": False, "reduce_bucket_size": 10_000_000}
        | more.pop("zero", {}),
        "zero_force_ds_cpu_optimizer": False,
        "timers": {"throughput": {"enabled": False}},
    } | more


BF16 = {
    "bf16": {"enabled": True},
    "data_types": {"grad_accum_dtype": "fp32"},
    "communication_data_type": "fp32",
}
OFFLOADED = {"offload_optimizer": {"device": "cpu", "pin_memory": torch.cuda.is_available()}}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        pytest.param({}, asked(zero_stage=2), id="fp32"),
        pytest.param({"zero_stage": 0}, asked(zero_stage=0, clipping=0.0), id="stage 0, where the engine clips"),
        pytest.param({"precision": "bf16"}, asked(zero_stage=2, **BF16), id="bf16"),
        pytest.param({"precision": "bf16", "zero_stage": 0}, asked(zero_stage=1, **BF16), id="bf16 needs stage 1"),
        pytest.param({"precision": "bf16", "zero_stage": 3}, asked(zero_stage=3, **BF16), id="bf16 on stage 3"),
        pytest.param({"offload_optimizer": True}, asked(zero_stage=2, zero=OFFLOADED), id="offloaded"),
    ],
)
def test_what_deepspeed_is_asked_for(changes, expected):
    assert deepspeed_config(settings(**changes)) == expected


def test_matrices_decay_and_vectors_do_not():
    layer = torch.nn.Linear(2, 3)
    assert _parameter_groups(layer, weight_decay=0.1, rate_factors={}) == [
        {"params": [layer.weight], "weight_decay": 0.1, "rate_factor": 1.0},
        {"params": [layer.bias], "weight_decay": 0.0, "rate_factor": 1.0},
    ]
    layer.bias.requires_grad = False
    assert [group["weight_decay"] for group in _parameter_groups(layer, weight_decay=0.1, rate_factors={})] == [0.1]
    assert [name for name, _ in trainable(layer)] == ["weight"]
    layer.weight.requires_grad = False
    with pytest.raises(ConfigError, match="method: it leaves no parameter to train"):
        _parameter_groups(layer, weight_decay=0.1, rate_factors={})


def test_each_factor_of_the_learning_rate_has_groups_of_its_own():
    net = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.Linear(3, 1), torch.nn.Linear(1, 1, bias=False))
    groups = _parameter_groups(net, weight_decay=0.1, rate_factors={"0.weight": 0.25, "0.bias": 0.25, "2.weight": 0.25})
    assert groups == [
        {"params": [net[0].weight, net[2].weight], "weight_decay": 0.1, "rate_factor": 0.25},
        {"params": [net[0].bias], "weight_decay": 0.0, "rate_factor": 0.25},
        {"params": [net[1].weight], "weight_decay": 0.1, "rate_factor": 1.0},
        {"params": [net[1].bias], "weight_decay": 0.0, "rate_factor": 1.0},
    ]


def test_the_shape_of_a_parameter_that_is_elsewhere_is_known():
    parameter = torch.nn.Parameter(torch.zeros(0))
    assert full_shape(parameter) == (0,)
    parameter.ds_shape = torch.Size([2, 3])
    assert full_shape(parameter) == (2, 3)


def test_a_parameter_without_a_gradient_gets_zeros():
    layer = torch.nn.Linear(2, 1)
    layer.weight.grad = torch.ones(1, 2)
    _average_gradients(list(layer.parameters()), world_size=1)
    assert layer.weight.grad.tolist() == [[1.0, 1.0]]
    assert layer.bias.grad.tolist() == [0.0]


def test_the_norm_is_summed_in_fp64_over_all_blocks():
    tensors = [torch.full((2, 3), 1e-4), torch.full((100_003,), 1e25), torch.tensor([3.0])]
    values = [float(value) for tensor in tensors for value in (tensor.flatten()[0],)]
    squares = sum(value**2 * tensor.numel() for value, tensor in zip(values, tensors, strict=True))
    assert float(_norm_in_fp64(tensors)) == pytest.approx(math.sqrt(squares), rel=1e-9)


def test_the_bytes_of_a_tensor_of_any_type():
    assert bytes(_bytes_of(torch.tensor([[1, 2]], dtype=torch.int16))) == b"\x01\x00\x02\x00"
    assert bytes(_bytes_of(torch.tensor([1.0], dtype=torch.bfloat16))) == b"\x80\x3f"


def test_the_peak_of_this_process_is_in_bytes():
    assert 50 << 20 < _peak_resident_bytes() < 64 << 30


@pytest.mark.parametrize(("value", "number"), [("0", 0), ("12", 12), (None, None), ("", None), ("-1", None)])
def test_a_variable_of_a_rank_is_a_whole_number(monkeypatch, value, number):
    monkeypatch.delenv("RANK", raising=False)
    if value is not None:
        monkeypatch.setenv("RANK", value)
    if number is not None:
        assert _number("RANK") == number
        return
    with pytest.raises(ConfigError) as refused:
        _number("RANK")
    assert refused.value.message == (
        f"environment variable RANK: found {value!r}, a whole number is needed, for example RANK=0"
    )


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        ("[../third_party/gloo/transport/tcp/pair.cc:534] Connection closed by peer [127.0.0.1]:1",) * 2,
        ("Socket Timeout. This is typically caused by a firewall", "Socket Timeout"),
        ("NCCL error.\nmore", "NCCL error"),
    ],
)
def test_a_lost_peer_is_named_in_one_line(error, reason):
    with pytest.raises(CollectiveError) as lost, lost_peers_named("saving"):
        raise RuntimeError(error)
    shown = reason.partition("] ")[2] if reason.startswith("[") else reason
    assert lost.value.message == f"another rank was lost while this one was saving: {shown}"
    assert torch_reason(RuntimeError(error)) == shown
    assert torch_reason(RuntimeError()) == "RuntimeError"


def test_another_error_stays_what_it_is():
    with pytest.raises(RuntimeError, match="shapes differ"), lost_peers_named("saving"):
        raise RuntimeError("shapes differ")
