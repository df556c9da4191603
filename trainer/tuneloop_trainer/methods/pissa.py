"""PiSSA: LoRA that begins with the principal singular vectors of each weight (Meng et al. 2024, arXiv:2404.02948).

The paper takes the principal part out of the frozen weight W: it computes (W - B₀A₀) x + BA x, where B and A begin as B₀ and A₀. Here W stays as it
is, and each LoRA layer computes (BA - B₀A₀) x in one pass of twice the rank. Both are the same function with the same gradients. So a checkpoint, an
export and other adapters find the base model that they know, and what is published is plain LoRA of twice the rank.

Shapes: r = rank, n = inputs of a layer, m = outputs of the layer.
"""

from __future__ import annotations

import math
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from peft.tuners.lora import Linear, LoraLayer
from torch import Tensor, nn
from torch.nn.utils import parametrize

from tuneloop_trainer.engine.deepspeed_import import deepspeed
from tuneloop_trainer.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

_ITERATIONS = 4
"""Power iterations of the decomposition: any matrices of low rank would do to begin with, and these are near the principal ones."""
_BITS = 7
"""Binary digits that are kept below the highest number of a matrix: as many as bf16 has."""


class _WithFirst(nn.Module):
    """Gives a trained matrix of rank r its frozen first value as further rows or columns."""

    def __init__(self, first: Tensor, *, dim: int, sign: int) -> None:
        """first: the value at first. dim: 0 for rows, 1 for columns. sign: 1, or -1 for a part that is taken off."""
        super().__init__()
        self.first = nn.Parameter(first, requires_grad=False)
        self._dim, self._sign = dim, sign

    def forward(self, trained: Tensor) -> Tensor:
        """Return both as one matrix."""
        return torch.cat([trained, self._sign * self.first], dim=self._dim)

    def right_inverse(self, _both: Tensor) -> Tensor:
        """Return what training begins with."""
        return self.first.clone()


def begin_with_principal_parts(model: nn.Module, *, rank: int, seed: int) -> None:
    """Give the LoRA layers of a model their principal parts, and train one half of each. model: has LoRA of twice `rank`.

    Raises ConfigError if one of the layers is not linear: a model may hold the weights of its experts in one tensor.
    """
    for name, layer in _layers(model):
        if not isinstance(layer, Linear):
            raise ConfigError(
                f"spec.method.usePissa: cannot be used with {name.removeprefix('base_model.model.')}, a {type(layer.get_base_layer()).__name__}: PiSSA takes the weight of a linear layer apart",
                hint="leave out method.usePissa, or name linear layers in method.targetModules",
            )
        weight = layer.get_base_layer().weight
        with deepspeed.zero.GatheredParameters([weight], enabled=hasattr(weight, "ds_id")):  # ZeRO-3 has divided it
            a, b = _principal_parts(layer, weight, rank=rank, seed=seed)
        for matrix, first, dim, sign in ((layer.lora_A["default"], a, 0, 1), (layer.lora_B["default"], b, 1, -1)):
            parametrize.register_parametrization(matrix, "weight", _WithFirst(first, dim=dim, sign=sign), unsafe=True)


def as_plain_lora(model: nn.Module) -> nn.Module:
    """Return the model with plain LoRA layers of twice the rank, which hold both halves."""
    for _, layer in _layers(model):
        for matrix in (layer.lora_A["default"], layer.lora_B["default"]):
            if parametrize.is_parametrized(matrix):
                parametrize.remove_parametrizations(matrix, "weight")
    return model


def _layers(model: nn.Module) -> Iterator[tuple[str, Any]]:
    return ((name, module) for name, module in model.named_modules() if isinstance(module, LoraLayer))


def _principal_parts(layer: Any, weight: Tensor, *, rank: int, seed: int) -> tuple[Tensor, Tensor]:
    """Return A₀, [r, n], and B₀, [m, r]: scaling x B₀A₀ is the part of the weight with the r largest singular values, up to rounding.

    Any A₀ and B₀ cancel at the start, so they may be rounded. A single thread and coarse rounding give every process the same bits.
    """
    of_layer = weight.T if layer.fan_in_fan_out else weight
    shapes = (rank, of_layer.shape[1]), (of_layer.shape[0], rank)
    if weight.is_meta:  # the plan of memory asks for shapes alone
        return torch.empty(shapes[0], device="meta"), torch.empty(shapes[1], device="meta")
    values = of_layer.detach().double().cpu()
    with torch.random.fork_rng(devices=[]), _one_thread():
        torch.manual_seed(seed)
        found = torch.svd_lowrank(values, q=min(rank, *values.shape), niter=_ITERATIONS)
    u, s, v = _with_signs(*found)
    root = (s / layer.scaling["default"]).sqrt()
    a, b = torch.zeros(shapes[0]), torch.zeros(shapes[1])
    a[: len(s)], b[:, : len(s)] = _rounded((v * root).T), _rounded(u * root)
    return a.to(weight), b.to(weight)


@contextmanager
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _with_signs(u: Tensor, s: Tensor, v: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return singular vectors, [m, r] and [n, r], whose largest element on the right is positive: a decomposition leaves the signs open."""
    largest = v.gather(0, v.abs().argmax(0, keepdim=True))
    signs = torch.where(largest < 0, -1.0, 1.0)
    return u * signs, s, v * signs


def _rounded(values: Tensor) -> Tensor:
    """Return numbers on a grid that depends on the highest of them alone."""
    highest = float(values.abs().max())
    step = 2.0 ** (math.floor(math.log2(highest)) - _BITS) if highest > 0 else 1.0
    return (values / step).round() * step
