"""Loads a pre-trained model with the head of a task."""

from __future__ import annotations

import inspect
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, Literal

import torch
import transformers
from safetensors import SafetensorError
from transformers import AutoConfig
from transformers import logging as transformers_logging

from tuneloop_api.contract.model_inputs import MODEL_INPUTS
from tuneloop_trainer.errors import ModelAccessError
from tuneloop_trainer.models.files import WEIGHTS_INDEX, indexed_weights
from tuneloop_trainer.models.fold import output_layer
from tuneloop_trainer.models.head import describe_head, head_modules, label_parameters, rows_by_label

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from torch import nn

    from tuneloop_trainer.tasks.task import Task


def load_model(
    folder: Path,
    *,
    task: Task,
    labels: Sequence[str],
    pad_token_id: int,
    dropout: float | None,
    seed: int,
    device: Literal["meta"] | None = None,
) -> nn.Module:
    """Return the pre-trained model with the task's head for these labels.

    What the files do not hold (the head) is drawn from `seed` alone, equally on every rank and ZeRO stage. Where the files hold a head for
    the same labels, each label keeps its row; a head for other labels is not used. `dropout` replaces the model's own. On the device `meta`
    no weight is read.

    The model has three attributes more: `new_modules` names the modules that were drawn, `head_modules` the modules that every method trains
    whole, and `head_origin` says in a sentence where the head comes from.

    Raises ModelAccessError if the files are no complete safetensors model that transformers knows.
    """
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    if (folder / WEIGHTS_INDEX).is_file():
        indexed_weights(folder / WEIGHTS_INDEX, uri=str(folder))
    try:
        config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        labels_before = dict(config.id2label)
        _configure(config, task=task, labels=labels, pad_token_id=pad_token_id, dropout=dropout)
        model, loaded = getattr(transformers, task.auto_class).from_pretrained(
            folder,
            config=config,
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=True,
            dtype=torch.float32,
            device_map=device,
            attn_implementation=attention_of(config, task=task),
            ignore_mismatched_sizes=True,
            output_loading_info=True,
        )
    except (OSError, ValueError, KeyError, ImportError, AttributeError, SafetensorError) as error:
        hint = f"The model folder must hold config.json and *.safetensors of an architecture that transformers' {task.auto_class} knows."
        raise ModelAccessError(f"spec.model.uri: {folder} cannot be loaded: {error}", hint=hint) from error
    missing = set(loaded["missing_keys"])
    new = missing | {key[0] for key in loaded["mismatched_keys"]}
    _check_inputs(model, folder)
    _check_only_head_is_new(model, new, folder)
    if not task.has_new_head:
        return _with_own_head(model, new, folder)
    if task.fit is not None:
        output_layer(model, uri=str(folder))
        labels_before = {}  # whatever the files' head was trained for, its numbers have another scale
    rows = label_parameters(model, labels=len(labels))
    model.head_origin = describe_head(labels, labels_before, is_there=not rows.keys() <= missing)
    new |= _unused_rows(rows, labels=labels, before=labels_before, new=new)
    model.new_modules = _draw(model, new, seed)
    model.head_modules = head_modules(model, model.new_modules)
    return model


def _with_own_head(model: Any, new: set[str], folder: Path) -> nn.Module:
    """Return a model whose output layer is its head: methods train the layer as any other, and none is drawn. Raises ModelAccessError if the files do not hold it."""
    if new:
        raise ModelAccessError(
            f"spec.model.uri: {folder} lacks {len(new)} weights of {type(model).__name__}, for example {min(new)}",
            hint="use a checkpoint of a language model: its output layer cannot be new",
        )
    model.new_modules, model.head_modules = (), ()
    model.head_origin = "the output layer of the model's files"
    whole: nn.Module = model
    return whole


def attention_of(config: Any, *, task: Task) -> Literal["sdpa", "eager"]:
    """Return `sdpa` for a class that has it, else `eager`. The choice is never left to config.json, which may name code of a hub."""
    kind = getattr(transformers, task.auto_class)._model_mapping.get(type(config), None)  # noqa: SLF001  (transformers has no public way)
    return "eager" if kind is not None and not kind._supports_sdpa else "sdpa"  # noqa: SLF001


def _configure(config: Any, *, task: Task, labels: Sequence[str], pad_token_id: int, dropout: float | None) -> None:
    if task.has_new_head:
        config.num_labels = len(labels)
        config.id2label = dict(enumerate(labels))
        config.label2id = {label: index for index, label in enumerate(labels)}
        config.problem_type = task.problem_type
    for part in {id(part): part for part in (config, config.get_text_config())}.values():
        part.pad_token_id = pad_token_id
        part.use_cache = False
        if dropout is not None:
            _set_dropout(part, dropout)


def _set_dropout(config: Any, dropout: float) -> None:
    """Replace every rate of dropout; a switch, such as `token_dropout` of ESM, stays."""
    for name, value in config.to_dict().items():
        is_rate = isinstance(value, float | int) and not isinstance(value, bool)
        if is_rate and ("dropout" in name or name.endswith("pdrop")):
            setattr(config, name, dropout)


def _check_inputs(model: Any, folder: Path) -> None:
    """Refuse a class that takes no attention mask: what it answers for a text would depend on the other texts of the batch."""
    lacking = set(MODEL_INPUTS) - set(inspect.signature(model.forward).parameters)
    if lacking:
        raise ModelAccessError(
            f"spec.model.uri: {folder}: {type(model).__name__} takes no {' and no '.join(sorted(lacking))}, so padding would change its answers",
            hint="take for example a bert, roberta, modernbert, llama or qwen3 model",
        )


def _check_only_head_is_new(model: Any, new: set[str], folder: Path) -> None:
    """Refuse a file in which parts of the body are missing: they would silently be random."""
    lacking = sorted(key for key in new if key.startswith(f"{model.base_model_prefix}.") and "pooler" not in key)
    if lacking:
        raise ModelAccessError(
            f"spec.model.uri: {folder} lacks {len(lacking)} weights of the pre-trained model, for example {lacking[0]}",
            hint="Use a complete checkpoint; only the classification head may be missing.",
        )


def _unused_rows(
    rows: Mapping[str, nn.Parameter], *, labels: Sequence[str], before: Mapping[int, str], new: set[str]
) -> set[str]:
    """Put each label's row where the job's order of labels has it; returns the parameters whose rows are for other labels.

    rows: the parameters with a row for each label. before: the labels in the order of the files' rows. new: parameters that the files do not hold.
    """
    order = rows_by_label(labels, before)
    if order is None:
        return set(rows)
    held = [parameter for name, parameter in rows.items() if name not in new]
    if held and order != sorted(order):
        with _whole(held), torch.no_grad():
            for parameter in held:
                parameter.copy_(parameter[order].clone())
    return set()


def _draw(model: Any, new: set[str], seed: int) -> tuple[str, ...]:
    """Draw the weights of the modules that the files did not hold; returns the names of these modules."""
    drawn = []
    for name, module in model.named_modules():
        own = dict(module.named_parameters(recurse=False))
        drawn_here = [parameter for key, parameter in own.items() if f"{name}.{key}" in new]
        if drawn_here:
            for parameter in drawn_here:
                parameter._is_hf_initialized = False  # noqa: SLF001  (else what the files held stays)
            torch.manual_seed(seed)
            with _whole(list(own.values())), torch.no_grad():
                model._init_weights(module)  # noqa: SLF001  (the architecture's own rule; there is no public way to it)
            drawn.append(name)
    return tuple(drawn)


def _whole(parameters: list[nn.Parameter]) -> AbstractContextManager[Any]:
    """Hold parameters in one piece: under ZeRO-3 each rank has a slice, and rank 0's values are handed to all."""
    if not any(hasattr(parameter, "ds_id") for parameter in parameters):
        return nullcontext()
    from tuneloop_trainer.engine.deepspeed_import import deepspeed  # noqa: PLC0415  (export needs no DeepSpeed)

    return deepspeed.zero.GatheredParameters(parameters, modifier_rank=0)
