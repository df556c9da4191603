"""Builds the trained model again: its base model, its method, and the trained weights of `models/trained.py`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from safetensors.torch import load_file

from tuneloop_trainer.errors import StorageError
from tuneloop_trainer.methods import method_of
from tuneloop_trainer.models.fold import fold
from tuneloop_trainer.models.load import load_model
from tuneloop_trainer.models.trained import TRAINABLE, read_description

if TYPE_CHECKING:
    from pathlib import Path

    from torch import nn

    from tuneloop_trainer.tasks.task import Task


def load_trained(model_folder: Path, weights: Path, *, task: Task) -> nn.Module:
    """Return the trained model as `Method.build` made it, with the trained weights in it, on a single process. A head of numbers gives them in the user's unit.

    Raises StorageError if the weights are not those of this model and method.
    """
    trained = read_description(weights)
    model = load_model(
        model_folder, task=task, labels=trained.labels, pad_token_id=trained.pad_token_id, dropout=None, seed=0
    )
    method = method_of(trained.method)
    model = method.build(model, trained.method, task=task, seed=0)
    tensors = load_file(weights / TRAINABLE)
    expected = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    buffers = {name for name, _ in model.named_buffers()}  # running statistics, where training changed them
    odd = sorted(expected ^ (tensors.keys() - buffers))
    if odd:
        raise StorageError(
            f"{weights / TRAINABLE} does not fit {model_folder}: {len(odd)} names differ, such as {odd[0]}"
        )
    model.load_state_dict(tensors, strict=False)
    model = method.plain(model)
    if trained.target_scale is not None:
        fold(model, trained.target_scale, uri=str(model_folder))
    return model.eval()
