"""The size of a model in training, found without its weights: parameters on the meta device, activations from a traced forward pass.

The trace runs the model's own code on fake tensors, so that it holds for every architecture, attention and method: on MiniLM and on
eight other architectures it finds the bytes that a real forward pass keeps, to the last one.
"""

from __future__ import annotations

import warnings
import weakref
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn import functional
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from tuneloop_trainer.methods import method_of
from tuneloop_trainer.models.load import load_model
from tuneloop_trainer.tasks import task_of

if TYPE_CHECKING:
    from pathlib import Path

    from tuneloop_api.contract.results import Precision
    from tuneloop_api.contract.run_config import Settings

_NO_LIMIT_TOKENS = 512
"""Length of the longer trace for models that read texts of any length."""
_ROWS = 2
_TYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


@dataclass(frozen=True, kw_only=True)
class Law:
    """Bytes of a micro-batch, which grow with its rows, and with the length of its rows linearly and in pairs of tokens."""

    per_token: float
    per_pair: float

    def of(self, *, rows: int, tokens: int) -> int:
        """Return the bytes for rows of this many tokens."""
        return round(rows * tokens * (self.per_token + self.per_pair * tokens))


@dataclass(frozen=True, kw_only=True)
class ModelShape:
    """What the memory of a rank follows from, as far as it lies in the model and the method."""

    parameters: int
    """All parameters; one that is shared counts once."""
    trainable: int
    """Those that are trained."""
    kept: Law
    """What the forward pass keeps for the backward pass."""
    passing: Law
    """What it makes and frees on the way."""


def shape_of(
    folder: Path, settings: Settings, *, classes: int, longest: int | None, precision: Precision
) -> ModelShape:
    """Return the shape of the model in this folder under the settings' method. No weight is read.

    longest: tokens that the model can read; None: any number. On GPUs attention is fused. Raises ModelAccessError and ConfigError as training would.
    """
    task, method = task_of(settings), settings.method
    model = load_model(
        folder,
        task=task,
        labels=[str(number) for number in range(classes)],
        pad_token_id=0,
        dropout=settings.training.dropout,
        seed=0,
        device="meta",
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # peft asks transformers by an old name; it concerns nobody here
        model = method_of(method).build(model, method, task=task, seed=0).train()
    counts = {id(parameter): parameter for parameter in model.parameters()}.values()
    with _FusedAttention() if settings.gang.gpus_per_node else nullcontext():
        kept, passing = _laws(_faked(model, dtype=_TYPES[precision]), longest=longest or _NO_LIMIT_TOKENS)
    return ModelShape(
        parameters=sum(parameter.numel() for parameter in counts),
        trainable=sum(parameter.numel() for parameter in counts if parameter.requires_grad),
        kept=kept,
        passing=passing,
    )


class _FusedAttention(TorchFunctionMode):
    """Lets attention keep what the fused kernels of a GPU keep: no probabilities, which on CPU dropout asks for."""

    def __torch_function__(
        self, function: Any, _types: Any, arguments: tuple[Any, ...] = (), keywords: dict[str, Any] | None = None
    ) -> Any:
        given = dict(keywords or {})
        if function is functional.scaled_dot_product_attention:
            given["dropout_p"] = 0.0
        return function(*arguments, **given)


class _Allocations(TorchDispatchMode):
    """Counts the bytes of the tensors that are made inside the block, and of those that are still there."""

    def __init__(self, present: list[torch.Tensor]) -> None:
        super().__init__()
        self._known = {tensor.untyped_storage()._cdata for tensor in present}  # noqa: SLF001  (a storage has no other name)
        self.made = self.there = 0

    def __torch_dispatch__(
        self, function: Any, _types: Any, arguments: tuple[Any, ...] = (), keywords: dict[str, Any] | None = None
    ) -> Any:
        made = function(*arguments, **(keywords or {}))
        for tensor in tree_leaves(made):
            if isinstance(tensor, torch.Tensor):
                self._see(tensor.untyped_storage())
        return made

    def _see(self, storage: torch.UntypedStorage) -> None:
        key, size = storage._cdata, storage.nbytes()  # noqa: SLF001
        if key in self._known:
            return
        self._known.add(key)
        self.made += size
        self.there += size
        weakref.finalize(storage, self._forget, key, size)

    def _forget(self, key: int, size: int) -> None:
        self._known.discard(key)
        self.there -= size


def _faked(model: nn.Module, *, dtype: torch.dtype) -> nn.Module:
    """Put fake tensors on the CPU in the place of meta tensors: a few models ask for values, which meta tensors refuse at once."""
    fake: dict[int, torch.Tensor] = {}
    with FakeTensorMode():
        for module in model.modules():
            for own in (module._parameters, module._buffers):  # noqa: SLF001  (setattr would check the types)
                for name, tensor in own.items():
                    if tensor is not None:
                        own[name] = fake.setdefault(id(tensor), _fake(tensor, dtype=dtype))  # type: ignore[assignment]
    return model


def _fake(tensor: torch.Tensor, *, dtype: torch.dtype) -> torch.Tensor:
    made = torch.empty(tensor.shape, dtype=dtype if tensor.is_floating_point() else tensor.dtype)
    return nn.Parameter(made, requires_grad=tensor.requires_grad) if isinstance(tensor, nn.Parameter) else made


def _laws(model: nn.Module, *, longest: int) -> tuple[Law, Law]:
    """Trace rows of two lengths; returns the laws of what is kept, and of what passes."""
    short, long = max(1, longest // 2), longest
    (kept, passing), (kept_long, passing_long) = (_trace(model, tokens=tokens) for tokens in (short, long))
    return _law(short, long, kept, kept_long), _law(short, long, passing, passing_long)


def _law(short: int, long: int, few: int, many: int) -> Law:
    if long == short:
        return Law(per_token=many / (_ROWS * long), per_pair=0.0)
    slopes = few / (_ROWS * short), many / (_ROWS * long)
    per_pair = (slopes[1] - slopes[0]) / (long - short)
    return Law(per_token=slopes[0] - per_pair * short, per_pair=per_pair)


def _trace(model: nn.Module, *, tokens: int) -> tuple[int, int]:
    """Return the bytes that a forward pass keeps, and those that it frees again."""
    present = [*model.parameters(), *model.buffers()]
    mode = next(tensor.fake_mode for tensor in present if hasattr(tensor, "fake_mode"))
    with mode:
        ids = torch.zeros(_ROWS, tokens, dtype=torch.int64)
        mask = torch.ones(_ROWS, tokens, dtype=torch.int64)
        with _Allocations([*present, ids, mask]) as allocations:
            output = model(input_ids=ids, attention_mask=mask)
            kept, made = allocations.there, allocations.made
            del output
    return kept, made - kept
