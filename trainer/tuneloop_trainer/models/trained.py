"""What training hands on to export: a folder of trained weights (`TrainResult.weights_path`).

It holds `trainable.safetensors`, the trained parameters by their name in the model that `Method.build` returned, and `method.json`,
what is needed to build that model again.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from safetensors.torch import save_file

from tuneloop_api.contract.artifact import TargetScale
from tuneloop_api.contract.settings import MethodSettings
from tuneloop_api.wire.model import MessageModel

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torch import Tensor

TRAINABLE = "trainable.safetensors"
DESCRIPTION = "method.json"


class TrainedModel(MessageModel):
    """`method.json`: how the trained weights belong to the base model."""

    method: MethodSettings
    labels: list[str]
    """Class names in the order of their ids."""
    pad_token_id: int
    step: int
    """Optimizer step that the weights are from."""
    target_scale: TargetScale | None = None
    """What the head's outputs are to be scaled by; None: they are the logits."""


def write_trained(folder: Path, weights: Mapping[str, Tensor], description: TrainedModel) -> None:
    """Write trained weights; the description comes last, so that a folder with a description is whole."""
    folder.mkdir(parents=True, exist_ok=True)
    save_file({name: tensor.contiguous() for name, tensor in weights.items()}, folder / TRAINABLE)
    (folder / DESCRIPTION).write_text(description.model_dump_json(by_alias=True, exclude_none=True, indent=2))


def read_description(weights: Path) -> TrainedModel:
    """Read how the trained weights in a folder belong to their base model."""
    return TrainedModel.from_wire(json.loads((weights / DESCRIPTION).read_text(encoding="utf-8")))
