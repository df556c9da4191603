"""Trains a model for a few steps in this process, with torch's own optimizer, and checks that the right parameters move.

DeepSpeed plays no part: it takes seconds to load, and its start, its ranks and its ZeRO stages are the same for all models.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any

import torch
import xxhash

from tuneloop_trainer.errors import ConfigError, UserCodeError
from tuneloop_trainer.models.head import label_parameters

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torch import Tensor, nn

    from tuneloop_api.contract.results import Precision
    from tuneloop_trainer.rehearsal.rows import PickedRows
    from tuneloop_trainer.tasks.task import Task

_STEPS = 2
"""The first matrix of a LoRA adapter has no gradient before the second has left 0."""
_LEARNING_RATE = 1e-3
"""Adam moves each weight by this much at its first step, whatever the gradient: far enough that an export without what was trained is found."""


@dataclass(frozen=True, kw_only=True)
class Head:
    """The head of a model, by names of modules. The names stay valid when a method wraps the model."""

    modules: tuple[str, ...]
    label_layer: str | None
    """The module that has a row for each label; None: the head has no such layer."""


def head_of(model: Any, *, labels: int) -> Head:
    """Return the head of a model as `load_model` returns it, before a method changes it."""
    rows = label_parameters(model, labels=labels)
    return Head(modules=model.head_modules, label_layer=next((name.rpartition(".")[0] for name in rows), None))


def train(
    model: nn.Module,
    rows: PickedRows,
    *,
    task: Task,
    head: Head,
    pad_id: int,
    label_smoothing: float,
    precision: Precision,
) -> dict[str, Tensor]:
    """Make the steps; return the trained parameters in fp32 and the buffers that training changed, by name.

    The model computes in `precision` afterwards, with the trained weights in it. Raises ConfigError or UserCodeError if a loss or a gradient is
    not finite, or if something that should train does not, or the other way round.
    """
    _require_finite_weights(model)
    if precision == "bf16":
        model = model.to(torch.bfloat16)
    trained = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    if not trained:
        raise ConfigError(
            "method: it leaves no parameter to train", hint="target modules must name layers of this model"
        )
    master_weights = {name: torch.nn.Parameter(parameter.detach().float()) for name, parameter in trained.items()}
    frozen = [(name, parameter) for name, parameter in model.named_parameters() if name not in trained]
    before = _digests(master_weights.items(), frozen, _saved_buffers(model).items())
    optimizer = torch.optim.AdamW(master_weights.values(), lr=_LEARNING_RATE, weight_decay=0.0)
    model.train()
    for step in range(1, _STEPS + 1):
        loss = _add_gradients(model, rows, task=task, pad_id=pad_id, label_smoothing=label_smoothing)
        _require_finite("the loss", loss, step=step, precision=precision)
        for name, parameter in trained.items():
            master_weights[name].grad = None if parameter.grad is None else parameter.grad.float()
            parameter.grad = None
        norm = torch.stack(
            [m.grad.norm() for m in master_weights.values() if m.grad is not None] or [torch.zeros(())]
        ).norm()
        _require_finite("the norm of the gradient", float(norm), step=step, precision=precision)
        optimizer.step()
        with torch.no_grad():
            for name, parameter in trained.items():
                parameter.copy_(master_weights[name])
    after = _digests(master_weights.items(), frozen, _saved_buffers(model).items())
    moved = {name for name in before if before[name] != after[name]}
    _check_moved(moved, frozenset(trained), frozen={name for name, _ in frozen}, head=head)
    buffers = {name: buffer.detach() for name, buffer in _saved_buffers(model).items() if name in moved}
    return {name: weight.detach() for name, weight in master_weights.items()} | buffers


def _add_gradients(model: nn.Module, rows: PickedRows, *, task: Task, pad_id: int, label_smoothing: float) -> float:
    """Add the gradients of all rows; return the mean loss of a target."""
    total = 0.0
    for chosen in rows.batches:
        batch = task.collate(rows.split, chosen, pad_id)
        output = model(**{name: torch.from_numpy(array) for name, array in batch.inputs.items()})
        loss = task.loss_sum(output, torch.from_numpy(batch.labels), label_smoothing) / rows.targets
        loss.backward()
        total += float(loss.detach())
    return total


def _require_finite_weights(model: nn.Module) -> None:
    bad = [name for name, parameter in model.named_parameters() if not torch.isfinite(parameter).all()]
    if bad:
        raise ConfigError(
            f"spec.model.uri: {len(bad)} weights of the model hold NaN or infinity, for example {bad[0]}",
            hint="use a model whose weights are whole; a conversion to fp16 makes infinity of numbers above 65,504",
        )


def _require_finite(what: str, value: float, *, step: int, precision: Precision) -> None:
    if not math.isfinite(value):
        another = "take training.precision: fp32" if precision == "bf16" else "use another model"
        raise ConfigError(
            f"{what} of step {step} is {value}",
            hint=f"neither the learning rate nor the length of the training mends this: {another}",
        )


def _check_moved(moved: set[str], trained: frozenset[str], *, frozen: set[str], head: Head) -> None:
    """Raise UserCodeError if a frozen parameter has moved, or if nothing has moved in the head or in the other trained parameters."""
    if changed := sorted(moved & frozen):
        raise UserCodeError(
            f"{len(changed)} parameters that are not trained have changed, for example {changed[0]}",
            hint="the model's code changes its own weights; use another model",
        )
    of_head = {name for name in trained if any(_lies_in(name, module) for module in head.modules)}
    of_labels = {name for name in of_head if head.label_layer and _lies_in(name, head.label_layer)} or of_head
    for part, what in (
        (of_labels, f"the head ({_listed(of_labels)})"),
        (trained - of_head, "the model below its head"),
    ):
        if part and not part & moved:
            raise UserCodeError(
                f"the loss does not reach {what}: no weight there has a gradient",
                hint="the model's code does not use these weights for its answers; use another model, or another method",
            )


def _lies_in(name: str, module: str) -> bool:
    """Whether a parameter belongs to a module; a method may put further names before and between the module's, as PEFT does."""
    parts = iter(name.split("."))
    return all(part in parts for part in module.split("."))


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)[:2])


def _saved_buffers(model: nn.Module) -> dict[str, Tensor]:
    saved = model.state_dict().keys()
    return {name: buffer for name, buffer in model.named_buffers() if name in saved}


def _digests(*tensors: Iterable[tuple[str, Tensor]]) -> dict[str, int]:
    return {
        name: xxhash.xxh3_64_intdigest(tensor.detach().contiguous().view(-1).view(torch.uint8).numpy().data)
        for name, tensor in chain.from_iterable(tensors)
    }
