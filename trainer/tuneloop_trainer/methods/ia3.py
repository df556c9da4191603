"""IA3: one learned factor for each output of a layer (Liu et al. 2022, arXiv:2205.05638); the head is trained in full."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tuneloop_trainer.methods.layers import no_such_layer, not_for_adapters, targets_of
from tuneloop_trainer.methods.method import Method

if TYPE_CHECKING:
    from torch import nn

    from tuneloop_api.contract.settings import MethodSettings
    from tuneloop_trainer.tasks.task import Task


def _build(model: Any, settings: MethodSettings, *, task: Task, seed: int) -> nn.Module:
    """Return the model with factors, all 1 at first, and its head trainable.

    The paper scales keys, values and what enters the second layer of the feed-forward part. PEFT knows that layer by name for some architectures;
    where a job names it, its inputs are scaled, and the outputs of all other layers. Raises ConfigError if no layer has one of the given names.
    """
    import torch  # noqa: PLC0415  (seconds)
    from peft import IA3Config, TaskType, get_peft_model  # noqa: PLC0415  (seconds)
    from peft.utils.constants import TRANSFORMERS_MODELS_TO_IA3_FEEDFORWARD_MODULES_MAPPING as FEED_FORWARD  # noqa: PLC0415

    names = FEED_FORWARD.get(model.config.model_type, [])
    config = IA3Config(
        task_type=TaskType[task.peft_type],
        target_modules=targets_of(settings.target_modules),
        feedforward_modules=[name for name in settings.target_modules if name in names],
        exclude_modules=[*model.head_modules, *not_for_adapters(model)],
        modules_to_save=[*model.head_modules],
    )
    torch.manual_seed(seed)
    try:
        return get_peft_model(model, config, autocast_adapter_dtype=False)  # ZeRO-3 wants one type for all weights
    except ValueError as error:
        raise no_such_layer(model, settings.target_modules, error) from error


def _merge(model: Any) -> nn.Module:
    """Return the base model with the factors multiplied into its weights, and the trained head in its place.

    PEFT's own way asks the head for a weight, which a head of several layers has not (PEFT 0.21.2).
    """
    from peft.tuners.ia3 import IA3Layer  # noqa: PLC0415  (seconds)
    from peft.utils.other import ModulesToSaveWrapper  # noqa: PLC0415

    base: nn.Module = model.get_base_model()
    for name, module in list(base.named_modules()):
        if isinstance(module, IA3Layer):
            module.merge(safe_merge=False)
            base.set_submodule(name, module.get_base_layer())
        elif isinstance(module, ModulesToSaveWrapper):
            base.set_submodule(name, module.modules_to_save[module.active_adapters[0]])
    return base


def _describe(settings: MethodSettings, merged: bool) -> str:  # noqa: FBT001  (`Method.describe` is called by position)
    where = "merged into the weights" if merged else "not merged"
    return f"a factor for each output of {', '.join(settings.target_modules)}; {where}"


IA3 = Method(
    name="ia3",
    build=_build,
    merge=_merge,
    is_adapter=True,
    learning_rates={"encoder": 3e-3, "decoder": 3e-3, "encoder-decoder": 3e-3},  # that of the paper, for T0
    describe=_describe,
    larger=("method.type: lora", "method.type: full"),
)
