"""What training hands on to export: a folder of trained weights (`TrainResult.weights_path`).

It holds `trainable.safetensors`, the trained parameters by their name in the model that `Method.build` returned, and `method.json`,
what is needed to build that model again.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from safetensors.torch import load_file, save_file

from tuneloop_api.contract.settings import MethodSettings
from tuneloop_api.wire.model import MessageModel
from tuneloop_trainer.errors import StorageError
from tuneloop_trainer.methods import method_of
from tuneloop_trainer.models.load import load_model

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torch import Tensor, nn

    from tuneloop_trainer.tasks.task import Task

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


def write_trained(folder: Path, weights: Mapping[str, Tensor], description: TrainedModel) -> None:
    """Write trained weights; the description comes last, so that a folder with a description is whole."""
    folder.mkdir(parents=True, exist_ok=True)
    save_file({name: tensor.contiguous() for name, tensor in weights.items()}, folder / TRAINABLE)
    (folder / DESCRIPTION).write_text(description.model_dump_json(by_alias=True, exclude_none=True, indent=2))


def read_description(weights: Path) -> TrainedModel:
    """Read how the trained weights in a folder belong to their base model."""
    return TrainedModel.from_wire(json.loads((weights / DESCRIPTION).read_text(encoding="utf-8")))


def load_trained(model_folder: Path, weights: Path, *, task: Task) -> nn.Module:
    """Return the trained model as `Method.build` made it, with the trained weights in it, on a single process.

    Raises StorageError if the weights are not those of this model and method.
    """
    trained = read_description(weights)
    model = load_model(
        model_folder, task=task, labels=trained.labels, pad_token_id=trained.pad_token_id, dropout=None, seed=0
    )
    model = method_of(trained.method).build(model, trained.method, task=task, seed=0)
    tensors = load_file(weights / TRAINABLE)
    expected = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    buffers = {name for name, _ in model.named_buffers()}  # running statistics, where training changed them
    odd = sorted(expected ^ (tensors.keys() - buffers))
    if odd:
        raise StorageError(
            f"{weights / TRAINABLE} does not fit {model_folder}: {len(odd)} names differ, such as {odd[0]}"
        )
    model.load_state_dict(tensors, strict=False)
    return model.eval()
