"""A smaller model of the same architecture: fewer layers, and smaller widths where that is not enough, with random weights.

What a rehearsal finds (a head without a gradient, an export that does not load) does not depend on how many layers a model has.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
import transformers
from transformers import AutoConfig

from tuneloop_trainer.failures import first_line
from tuneloop_trainer.models.files import tokenizer_files
from tuneloop_trainer.rehearsal.not_rehearsed import NotRehearsed

if TYPE_CHECKING:
    from pathlib import Path

    from tuneloop_trainer.tasks.task import Task

_FEWEST_LAYERS = 2
_LAYERS = ("num_hidden_layers", "n_layers", "n_layer", "num_layers", "encoder_layers", "decoder_layers", "num_decoder_layers")  # fmt: skip
_HEADS = ("num_attention_heads", "n_heads", "n_head", "num_heads", "encoder_attention_heads", "decoder_attention_heads", "num_key_value_heads")  # fmt: skip
_WIDTHS = (
    "hidden_size", "d_model", "n_embd", "dim", "emb_dim", "intermediate_size", "d_inner", "d_ff", "hidden_dim", "n_inner",
    "encoder_ffn_dim", "decoder_ffn_dim", "ffn_dim", "moe_intermediate_size", "shared_expert_intermediate_size",
)  # fmt: skip
_DIVIDED = frozenset(_HEADS + _WIDTHS)
"""Heads and widths are divided by the same number, so that a head keeps its size."""
_DIVISORS = (1, 2, 4, 8, 16, 32)
_OF_LABELS = ("id2label", "label2id")
"""Their keys are names of others."""


@dataclass(frozen=True, kw_only=True)
class CutDown:
    """A smaller model."""

    folder: Path
    """In Hugging Face layout, without a tokenizer of its own."""
    description: str
    """For example `a model of this architecture with 2 of 32 layers and 1/8 of the width`."""


def cut_down(folder: Path, target: Path, *, task: Task, most_parameters: int, seed: int) -> CutDown:
    """Write a smaller model of the architecture in `folder` to `target`. Raises NotRehearsed if the architecture's code cannot build one."""
    config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    layers = _layers(config.get_text_config().to_dict())
    if not layers:
        raise NotRehearsed("it is not known where the configuration of this architecture has its layers")
    try:
        divisor, small = next(
            (divisor, small)
            for divisor in _DIVISORS
            if _parameters(small := _smaller(config, divisor), task) <= most_parameters
        )
        torch.manual_seed(seed)
        _of_task(task).from_config(small).save_pretrained(target)
    except StopIteration:
        raise NotRehearsed("no model of this architecture is small enough") from None
    except Exception as error:  # a configuration's own rules, which nobody can know
        raise NotRehearsed(f"a smaller model of this architecture cannot be built: {first_line(error)}") from error
    for file in tokenizer_files(folder):
        (target / file.name).write_bytes(file.read_bytes())
    width = "" if divisor == 1 else f" and 1/{divisor} of the width"
    kept = _layers(small.get_text_config().to_dict())
    return CutDown(folder=target, description=f"a model of this architecture with {kept} of {layers} layers{width}")


def _of_task(task: Task) -> Any:
    return getattr(transformers, task.auto_class)


def _parameters(config: Any, task: Task) -> int:
    with torch.device("meta"):
        return sum(parameter.numel() for parameter in _of_task(task).from_config(config).parameters())


def _smaller(config: Any, divisor: int) -> Any:
    return type(config).from_dict(_cut(config.to_dict(), divisor))


def _cut(wire: dict[str, Any], divisor: int) -> dict[str, Any]:
    """Return a configuration, as its dictionary, with few layers and divided widths; those of parts inside it, too."""
    layers, kept = _layers(wire), _kept_layers(wire)
    found = dict(wire)
    for name, value in wire.items():
        if name in _OF_LABELS:
            continue
        if isinstance(value, dict):
            found[name] = _cut(value, divisor)
        elif name in _LAYERS and isinstance(value, int):
            found[name] = min(value, kept)
        elif name in _DIVIDED and isinstance(value, int):
            found[name] = max(1, value // divisor)
        elif isinstance(value, list) and layers > kept and len(value) == layers:
            found[name] = value[:kept]  # one value a layer
    return found


def _layers(wire: dict[str, Any]) -> int:
    """Return how many layers a configuration has; where there are two stacks, those of the larger one."""
    return max((wire[name] for name in _LAYERS if isinstance(wire.get(name), int)), default=0)


def _kept_layers(wire: dict[str, Any]) -> int:
    """Return how many layers show every kind that the model has: kinds of layers are lists of words, such as `layer_types`."""
    layers = _layers(wire)
    kinds = [value for value in wire.values() if isinstance(value, list) and len(value) == layers]
    first = [
        [value.index(kind) for kind in set(value)] for value in kinds if all(isinstance(kind, str) for kind in value)
    ]
    return max([_FEWEST_LAYERS, *(max(places) + 1 for places in first if places)])
