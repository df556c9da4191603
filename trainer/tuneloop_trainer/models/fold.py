"""Puts the scale of the numbers that a model learned into its head, so that plain transformers answers in the user's unit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from tuneloop_trainer.errors import ConfigError

if TYPE_CHECKING:
    from tuneloop_api.contract.artifact import TargetScale


def output_layer(model: Any, *, uri: str) -> nn.Linear:
    """Return the layer that makes the number: the last linear layer that is trained and has an output for each label, of which there is one.

    model: as `load_model` or `Method.build` returns it. Raises ConfigError where it has no such layer, or one without a bias, which could not hold the mean.
    """
    layers = [
        module
        for module in model.modules()
        if isinstance(module, nn.Linear)
        and module.out_features == model.config.num_labels
        and module.weight.requires_grad
    ]
    if not layers or layers[-1].bias is None:
        lacks = "whose last layer has no bias" if layers else "without a linear layer of one output"
        raise ConfigError(
            f"spec.taskOptions.problemType: regression cannot be trained with {uri}: {model.config.model_type} has a head {lacks}, and so no place for the mean of the numbers",
            hint="use an encoder such as bert, roberta, deberta-v2 or modernbert",
        )
    return layers[-1]


def fold(model: Any, scale: TargetScale, *, uri: str) -> None:
    """Change the head of a trained model so that it gives number = output * std + mean. Raises ConfigError as `output_layer` does."""
    layer = output_layer(model, uri=uri)
    with torch.no_grad():
        for parameter, offset in ((layer.weight, 0.0), (layer.bias, scale.mean)):
            parameter.copy_((parameter.double() * scale.std + offset).to(parameter.dtype))
