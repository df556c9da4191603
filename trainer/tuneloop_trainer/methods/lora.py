"""LoRA: low-rank adapters beside frozen weights (Hu et al. 2021, arXiv:2106.09685); what is new is trained in full."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from tuneloop_trainer.errors import ConfigError

if TYPE_CHECKING:
    from torch import nn

    from tuneloop_api.contract.run_config import MethodSettings

ALL_LINEAR = "all-linear"


def build(model: Any, settings: MethodSettings, *, seed: int) -> nn.Module:
    """Return the model with adapters; the modules that its files did not hold (`model.new_modules`) are trained whole.

    They get no adapter: an adapter on weights that were drawn at random would be merged into other ones at export. Raises ConfigError if no layer has one of the given names.
    """
    from peft import LoraConfig, TaskType, get_peft_model  # noqa: PLC0415  (takes seconds that other methods need not wait)

    targets = ALL_LINEAR if settings.target_modules == [ALL_LINEAR] else settings.target_modules
    config = LoraConfig(
        task_type=TaskType.SEQ_CLS,
        r=settings.rank,
        lora_alpha=2 * settings.rank if settings.alpha is None else settings.alpha,
        lora_dropout=settings.dropout,
        target_modules=targets,
        exclude_modules=[*model.new_modules],
        modules_to_save=[*model.new_modules],
    )
    torch.manual_seed(seed)
    try:
        return get_peft_model(model, config)
    except ValueError as error:
        linear = sorted(
            {name.split(".")[-1] for name, layer in model.named_modules() if isinstance(layer, torch.nn.Linear)}
        )
        raise ConfigError(
            f"spec.method.targetModules: {settings.target_modules} names no layer of this model: {error}",
            hint=f"Linear layers of this model: {', '.join(linear)}; all-linear means all of them.",
        ) from error


def merge(model: Any) -> nn.Module:
    """Return the base model with the adapters added to its weights."""
    return model.merge_and_unload()
