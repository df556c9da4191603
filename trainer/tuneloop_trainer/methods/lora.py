"""LoRA: low-rank adapters beside frozen weights (Hu et al. 2021, arXiv:2106.09685); the head is trained in full."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from tuneloop_trainer.errors import ConfigError
from tuneloop_trainer.methods.method import Method

if TYPE_CHECKING:
    from torch import nn

    from tuneloop_api.contract.settings import MethodSettings
    from tuneloop_trainer.tasks.task import Task

ALL_LINEAR = "all-linear"


def _build(model: Any, settings: MethodSettings, *, task: Task, seed: int) -> nn.Module:
    """Return the model with adapters; the head (`model.head_modules`) is trained whole, whether it is new or not.

    The head gets no adapter: an adapter on weights that were drawn at random would be merged into other ones at export. PEFT trains a
    `classifier` or `score` whole in any case; it must be given the same outermost modules, else it would train copies inside of copies.
    Raises ConfigError if no layer has one of the given names.
    """
    import torch  # noqa: PLC0415  (seconds)
    from peft import LoraConfig, TaskType, get_peft_model  # noqa: PLC0415  (seconds)

    targets = ALL_LINEAR if settings.target_modules == [ALL_LINEAR] else settings.target_modules
    config = LoraConfig(
        task_type=TaskType[task.peft_type],
        r=settings.rank,
        lora_alpha=_alpha(settings),
        lora_dropout=settings.dropout,
        target_modules=targets,
        exclude_modules=[*model.head_modules, *_not_for_adapters(model)],
        modules_to_save=[*model.head_modules],
    )
    torch.manual_seed(seed)
    try:
        return get_peft_model(model, config)
    except ValueError as error:
        if "lora_dropout" in str(error):  # PEFT has no class of its own for this
            raise ConfigError(
                f"spec.method.dropout: {settings.dropout:g} cannot be used: {model.config.model_type} holds the weights of its experts in one "
                "tensor, which PEFT adapts without dropout alone",
                hint="set method.dropout: 0",
            ) from error
        linear = sorted(
            {name.split(".")[-1] for name, layer in model.named_modules() if isinstance(layer, torch.nn.Linear)}
        )
        raise ConfigError(
            f"spec.method.targetModules: {settings.target_modules} names no layer of this model: {error}",
            hint=f"Linear layers of this model: {', '.join(linear)}; all-linear means all of them.",
        ) from error


def _not_for_adapters(model: Any) -> list[str]:
    """Return the names of linear layers that an adapter would spoil.

    A router of experts returns scores and a choice. Layers that share a weight would get an adapter each, and all of these would be merged into
    the one weight.
    """
    from torch.nn import Linear  # noqa: PLC0415  (seconds)

    layers = {name: layer for name, layer in model.named_modules() if isinstance(layer, Linear)}
    uses = Counter(id(layer.weight) for layer in layers.values())
    return [
        name for name, layer in layers.items() if type(layer).__name__.endswith("Router") or uses[id(layer.weight)] > 1
    ]


def _alpha(settings: MethodSettings) -> int:
    return 2 * settings.rank if settings.alpha is None else settings.alpha


def _merge(model: Any) -> nn.Module:
    """Return the base model with the adapters added to its weights."""
    merged: nn.Module = model.merge_and_unload()
    return merged


def _describe(settings: MethodSettings, merged: bool) -> str:  # noqa: FBT001  (`Method.describe` is called by position)
    layers = ", ".join(settings.target_modules)
    where = "merged into the weights" if merged else "not merged"
    return f"rank {settings.rank}, alpha {_alpha(settings)}, dropout {settings.dropout:g}, {layers}; {where}"


LORA = Method(
    name="lora",
    build=_build,
    merge=_merge,
    is_adapter=True,
    learning_rates={"encoder": 2e-4, "decoder": 2e-4, "encoder-decoder": 2e-4},
    describe=_describe,
    smaller=("method.rank: 8",),
    larger=("method.rank: 64", "method.type: full"),
)
