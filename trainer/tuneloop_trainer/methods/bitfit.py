"""BitFit: only bias terms are trained (Ben Zaken et al. 2021, arXiv:2106.10199), and the head is trained in full."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tuneloop_trainer.methods.combinations import refuse_combination
from tuneloop_trainer.methods.method import Method

if TYPE_CHECKING:
    from torch import nn

    from tuneloop_api.contract.settings import MethodSettings
    from tuneloop_trainer.tasks.task import Task


def is_bias(name: str) -> bool:
    """Tell whether a parameter is a bias term by its full name, such as `encoder.layer.0.output.dense.bias` or `attention.self.q_bias`."""
    return name.rpartition(".")[2].endswith("bias")


def _build(model: Any, settings: MethodSettings, *, task: Task, seed: int) -> nn.Module:
    """Return the model with its bias terms, and its head, trainable.

    Raises ConfigError if the pre-trained part of the model has no bias term.
    """
    del task, seed  # there is nothing new
    names = [name for name, _ in model.named_parameters() if not _in_head(name, model)]
    if not any(is_bias(name) for name in names):
        refuse_combination(settings, lacks=("biases",), model_type=model.config.model_type)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(is_bias(name) or _in_head(name, model))
    trained: nn.Module = model
    return trained


def _in_head(name: str, model: Any) -> bool:
    return any(name.startswith(f"{module}.") for module in model.head_modules)


BITFIT = Method(
    name="bitfit",
    build=_build,
    merge=None,
    is_adapter=False,
    learning_rates={"encoder": 4e-4, "decoder": 4e-4, "encoder-decoder": 1e-3},
    describe=lambda _settings, _merged: "the bias terms, and the head",
    larger=("method.type: lora", "method.type: full"),
)
