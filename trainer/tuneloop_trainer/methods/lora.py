"""LoRA: low-rank adapters beside frozen weights (Hu et al. 2021, arXiv:2106.09685); the head is trained in full.

Three variants: DoRA learns the norm of each row of a weight besides (Liu et al. 2024, arXiv:2402.09353), rsLoRA scales by alpha / √rank (Kalajdzievski
2023, arXiv:2312.03732), and PiSSA begins with the principal part of each weight (`pissa.py`).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from tuneloop_trainer.errors import ConfigError
from tuneloop_trainer.methods.layers import no_such_layer, not_for_adapters, targets_of
from tuneloop_trainer.methods.method import Method

if TYPE_CHECKING:
    from torch import nn

    from tuneloop_api.contract.settings import MethodSettings
    from tuneloop_trainer.tasks.task import Task


def _build(model: Any, settings: MethodSettings, *, task: Task, seed: int) -> nn.Module:
    """Return the model with adapters; the head (`model.head_modules`) is trained whole, whether it is new or not.

    The head gets no adapter: an adapter on weights that were drawn at random would be merged into other ones at export. PEFT trains a
    `classifier` or `score` whole in any case; it must be given the same outermost modules, else it would train copies inside of copies.
    Raises ConfigError if no layer has one of the given names.
    """
    import torch  # noqa: PLC0415  (seconds)
    from peft import LoraConfig, TaskType, get_peft_model  # noqa: PLC0415  (seconds)

    from tuneloop_trainer.methods.pissa import begin_with_principal_parts  # noqa: PLC0415  (imports PEFT)

    times = (
        2 if settings.use_pissa else 1
    )  # one half is trained, and the other half takes off what the first began with
    config = LoraConfig(
        task_type=TaskType[task.peft_type],
        r=times * settings.rank,
        lora_alpha=_alpha(settings) * (math.sqrt(times) if settings.use_rslora else times),
        lora_dropout=settings.dropout,
        use_dora=settings.use_dora,
        use_rslora=settings.use_rslora,
        target_modules=targets_of(settings.target_modules),
        exclude_modules=[*model.head_modules, *not_for_adapters(model)],
        modules_to_save=[*model.head_modules],
    )
    torch.manual_seed(seed)
    try:
        built: nn.Module = get_peft_model(
            model, config, autocast_adapter_dtype=False
        )  # ZeRO-3 wants one type for all weights
    except ValueError as error:
        if "lora_dropout" in str(error):  # PEFT has no class of its own for this
            raise ConfigError(
                f"spec.method.dropout: {settings.dropout:g} cannot be used: {model.config.model_type} holds the weights of its experts in one "
                "tensor, which PEFT adapts without dropout alone",
                hint="set method.dropout: 0",
            ) from error
        raise no_such_layer(model, settings.target_modules, error) from error
    if settings.use_pissa:
        begin_with_principal_parts(built, rank=settings.rank, seed=seed)
    return built


def _alpha(settings: MethodSettings) -> int:
    return 2 * settings.rank if settings.alpha is None else settings.alpha


def _plain(model: Any) -> nn.Module:
    """Return the model with layers that PEFT's files can hold."""
    from tuneloop_trainer.methods.pissa import as_plain_lora  # noqa: PLC0415  (imports PEFT)

    return as_plain_lora(model)


def _merge(model: Any) -> nn.Module:
    """Return the base model with the adapters added to its weights."""
    merged: nn.Module = model.merge_and_unload()
    return merged


def _describe(settings: MethodSettings, merged: bool) -> str:  # noqa: FBT001  (`Method.describe` is called by position)
    variants = ((settings.use_dora, "DoRA"), (settings.use_rslora, "rsLoRA"), (settings.use_pissa, "PiSSA"))
    named = "".join(f"{name}, " for is_used, name in variants if is_used)
    layers = ", ".join(settings.target_modules)
    where = "merged into the weights" if merged else "not merged"
    return f"{named}rank {settings.rank}, alpha {_alpha(settings)}, dropout {settings.dropout:g}, {layers}; {where}"


LORA = Method(
    name="lora",
    build=_build,
    merge=_merge,
    plain=_plain,
    is_adapter=True,
    learning_rates={"encoder": 2e-4, "decoder": 2e-4, "encoder-decoder": 2e-4},
    describe=_describe,
    smaller=("method.rank: 8",),
    larger=("method.rank: 64", "method.type: full"),
)
