"""Finds the size of a model in training without reading its weights.

Parameters are counted on the meta device. Activations are counted in two forward passes over fake tensors, which have shapes and no values.
The passes run the model's own code, so that the count holds for every architecture, attention and method. Measured: on MiniLM and on eight
other architectures the count equals the bytes that a real forward pass keeps.
"""

from __future__ import annotations

import warnings
import weakref
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn import functional
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from transformers.modeling_layers import GradientCheckpointingLayer

from tuneloop_trainer.models.build import build_for_training
from tuneloop_trainer.models.load import load_model
from tuneloop_trainer.tasks import task_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tuneloop_api.contract.results import Precision
    from tuneloop_api.contract.settings import Settings
    from tuneloop_trainer.tasks.task import Task

_NO_LIMIT_TOKENS = 512
"""Length of the longer trace for models that read texts of any length."""
_ROWS = 2
_TYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


@dataclass(frozen=True, kw_only=True)
class ByteFormula:
    """Bytes of a micro-batch: rows x (per_token x tokens + per_pair x tokens²), where all rows have so many tokens."""

    per_token: float
    per_pair: float
    """Bytes for each pair of tokens of a row; attention without a fused kernel keeps them."""

    def bytes_for(self, *, rows: int, tokens: int) -> int:
        """Return the bytes of a micro-batch of rows with so many tokens each."""
        return round(rows * tokens * (self.per_token + self.per_pair * tokens))


@dataclass(frozen=True, kw_only=True)
class ModelShape:
    """The sizes of a model under its method, from which the memory of a rank is planned."""

    parameters: int
    """Number of all parameters; a shared parameter counts once."""
    trainable: int
    """Number of trained parameters."""
    kept: ByteFormula
    """Bytes that the forward pass keeps for the backward pass, and those that a loss over a vocabulary needs besides."""
    freed: ByteFormula
    """Bytes that the forward pass allocates and frees again."""
    head: str | None = None
    """Where the head comes from, as a sentence; None where the labels were invented."""
    attention: str | None = None
    """How the model computes attention: `sdpa` or `eager`."""


def build_without_weights(folder: Path, settings: Settings, *, labels: Sequence[str]) -> nn.Module:
    """Return the model in this folder as the settings' method trains it, on the meta device. No weight is read.

    labels: class names in the order of their ids. Raises ModelAccessError and ConfigError as training would.
    """
    task = task_of(settings)
    model = load_model(
        folder, task=task, labels=labels, pad_token_id=0, dropout=settings.training.dropout, seed=0, device="meta"
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # peft asks transformers by an old name; it concerns nobody here
        return build_for_training(model, settings, task=task, seed=0)[0].train()


def shape_of(model: nn.Module, settings: Settings, *, longest: int | None, precision: Precision) -> ModelShape:
    """Return the sizes of a model that `build_without_weights` built. The model cannot be used afterwards.

    longest: tokens that the model can read; None: any number. The trace uses fused attention where the gang has GPUs. Raises whatever the
    model's code raises on fake tensors.
    """
    parameters = {id(parameter): parameter for parameter in model.parameters()}.values()
    config: Any = model.config
    attention = config._attn_implementation  # noqa: SLF001  (transformers has no public name)
    task = task_of(settings)
    with _FusedAttention() if settings.gang.gpus_per_node else nullcontext():
        writes = task.generation is not None
        faked, most = _faked(model, dtype=_TYPES[precision]), longest or _NO_LIMIT_TOKENS
        kept, freed = _formulas(faked, longest=most, writes=writes)
        if settings.training.gradient_checkpointing == "always":
            kept = _with_one_layer(faked, kept, longest=most, writes=writes)
    return ModelShape(
        parameters=sum(parameter.numel() for parameter in parameters),
        trainable=sum(parameter.numel() for parameter in parameters if parameter.requires_grad),
        kept=replace(kept, per_token=kept.per_token + _loss_bytes(task, config, dtype=_TYPES[precision])),
        freed=freed,
        attention=attention,
    )


def _loss_bytes(task: Task, config: Any, *, dtype: torch.dtype) -> float:
    """Return the bytes for each token that a loss over the vocabulary takes at its peak, beside the logits, which the forward pass has. Of a few classes it takes next to none.

    It is reached as the gradient of the logits is made: that is as large as they are, and of targets there are log probabilities and their gradients in fp32. Measured on GPT-2, Llama, T5 and BERT.
    """
    if task.has_new_head:
        return 0.0
    vocabulary, size = config.get_text_config().vocab_size, dtype.itemsize
    return float(vocabulary * (size + task.target_share * (3 * torch.float32.itemsize - 2 * size)))


class _FusedAttention(TorchFunctionMode):
    """Turns dropout inside attention off: on a CPU it makes attention keep its probabilities, which the fused kernels of a GPU never keep."""

    def __torch_function__(
        self, function: Any, _types: Any, arguments: tuple[Any, ...] = (), keywords: dict[str, Any] | None = None
    ) -> Any:
        given = dict(keywords or {})
        if function is functional.scaled_dot_product_attention:
            given["dropout_p"] = 0.0
        return function(*arguments, **given)


class _Allocations(TorchDispatchMode):
    """Counts the bytes of all storages that are allocated inside the block, and of those among them that still exist.

    present: tensors that exist before; their storages are not counted.
    """

    def __init__(self, present: list[torch.Tensor]) -> None:
        super().__init__()
        self._counted = {tensor.untyped_storage()._cdata for tensor in present}  # noqa: SLF001  (a storage has no other name)
        self.allocated = self.alive = 0

    def __torch_dispatch__(
        self, function: Any, _types: Any, arguments: tuple[Any, ...] = (), keywords: dict[str, Any] | None = None
    ) -> Any:
        result = function(*arguments, **(keywords or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, torch.Tensor):
                self._count(tensor.untyped_storage())
        return result

    def _count(self, storage: torch.UntypedStorage) -> None:
        key, size = storage._cdata, storage.nbytes()  # noqa: SLF001
        if key in self._counted:
            return
        self._counted.add(key)
        self.allocated += size
        self.alive += size
        weakref.finalize(storage, self._on_freed, key, size)

    def _on_freed(self, key: int, size: int) -> None:
        self._counted.discard(key)
        self.alive -= size


def _faked(model: nn.Module, *, dtype: torch.dtype) -> nn.Module:
    """Replace the model's meta tensors by fake tensors on the CPU, in place: some models ask for values, which a meta tensor refuses at once."""
    fake: dict[int, torch.Tensor] = {}
    with FakeTensorMode(allow_non_fake_inputs=True):  # PEFT holds the ids of virtual tokens in no module
        for module in model.modules():
            for own in (module._parameters, module._buffers):  # noqa: SLF001  (setattr would check the types)
                for name, tensor in own.items():
                    if tensor is not None:
                        own[name] = fake.setdefault(id(tensor), _fake(tensor, dtype=dtype))  # type: ignore[assignment]
    return model


def _fake(tensor: torch.Tensor, *, dtype: torch.dtype) -> torch.Tensor:
    """Return a tensor of the same shape; numbers with a fraction get the type `dtype`."""
    fake = torch.empty(tensor.shape, dtype=dtype if tensor.is_floating_point() else tensor.dtype)
    return nn.Parameter(fake, requires_grad=tensor.requires_grad) if isinstance(tensor, nn.Parameter) else fake


def _formulas(model: nn.Module, *, longest: int, writes: bool) -> tuple[ByteFormula, ByteFormula]:
    """Trace rows of two lengths; return the formulas of the kept and of the freed bytes. writes: the model writes a text, which is as long as that which it reads."""
    short, long = max(1, longest // 2), longest
    (kept, freed), (kept_long, freed_long) = (_trace(model, tokens=tokens, writes=writes) for tokens in (short, long))
    return _formula(short, long, kept, kept_long), _formula(short, long, freed, freed_long)


def _with_one_layer(model: Any, kept: ByteFormula, *, longest: int, writes: bool) -> ByteFormula:
    """Return what is kept, and the insides of one layer more, which the backward pass computes again. kept: between the layers. The model then keeps all."""
    layers = sum(isinstance(module, GradientCheckpointingLayer) for module in model.modules())
    model.activation_checkpointing_disable()
    whole, _ = _formulas(model, longest=longest, writes=writes)
    return ByteFormula(
        per_token=kept.per_token + (whole.per_token - kept.per_token) / max(layers, 1),
        per_pair=kept.per_pair + (whole.per_pair - kept.per_pair) / max(layers, 1),
    )


def _formula(short: int, long: int, short_bytes: int, long_bytes: int) -> ByteFormula:
    """Return the formula through two points: the bytes of `_ROWS` rows of `short` tokens, and of `long` tokens."""
    if long == short:
        return ByteFormula(per_token=long_bytes / (_ROWS * long), per_pair=0.0)
    slopes = short_bytes / (_ROWS * short), long_bytes / (_ROWS * long)
    per_pair = (slopes[1] - slopes[0]) / (long - short)
    return ByteFormula(per_token=slopes[0] - per_pair * short, per_pair=per_pair)


def _trace(model: nn.Module, *, tokens: int, writes: bool) -> tuple[int, int]:
    """Return the bytes that a forward pass of `_ROWS` rows keeps, and the bytes that it frees again."""
    present = [*model.parameters(), *model.buffers()]
    mode = next(tensor.fake_mode for tensor in present if hasattr(tensor, "fake_mode"))
    with mode:
        ids = torch.zeros(_ROWS, tokens, dtype=torch.int64)
        mask = torch.ones(_ROWS, tokens, dtype=torch.int64)
        with _Allocations([*present, ids, mask]) as allocations:
            output = model(input_ids=ids, attention_mask=mask, **({"labels": ids} if writes else {}))
            kept, allocated = allocations.alive, allocations.allocated
            del output  # not earlier: the output keeps the graph, and the graph keeps the activations
    return kept, allocated - kept
