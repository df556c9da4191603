"""Which linear layers of a model get something beside them, for the methods of PEFT that adapt layers."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from tuneloop_trainer.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

ALL_LINEAR = "all-linear"


def targets_of(target_modules: list[str]) -> str | list[str]:
    """Return the layers to adapt as PEFT wants them named."""
    return ALL_LINEAR if target_modules == [ALL_LINEAR] else target_modules


def not_for_adapters(model: Any) -> list[str]:
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


def no_such_layer(model: Any, target_modules: Sequence[str], error: ValueError) -> ConfigError:
    """Return the error for names that no layer of the model has. error: what PEFT says."""
    from torch.nn import Linear  # noqa: PLC0415  (seconds)

    linear = sorted({name.split(".")[-1] for name, layer in model.named_modules() if isinstance(layer, Linear)})
    return ConfigError(
        f"spec.method.targetModules: {list(target_modules)} names no layer of this model: {error}",
        hint=f"Linear layers of this model: {', '.join(linear)}; all-linear means all of them.",
    )
