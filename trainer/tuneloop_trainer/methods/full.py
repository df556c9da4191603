"""Full fine-tuning: every parameter is trained."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn


def build(model: nn.Module) -> nn.Module:
    """Return the model with every parameter trainable."""
    return model.requires_grad_(True)
