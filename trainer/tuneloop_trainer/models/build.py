"""Makes a loaded model ready for training: its method, and the options of training that change the model or its learning rates."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tuneloop_trainer.methods import method_of
from tuneloop_trainer.models.depth import rate_factors
from tuneloop_trainer.models.embedding_noise import add_embedding_noise
from tuneloop_trainer.models.gradient_checkpointing import checkpoint_gradients
from tuneloop_trainer.models.packed_inputs import read_packed_batches
from tuneloop_trainer.models.targets import shift_targets

if TYPE_CHECKING:
    from torch import nn

    from tuneloop_api.contract.settings import Settings
    from tuneloop_trainer.tasks.task import Task


def build_for_training(model: Any, settings: Settings, *, task: Task, seed: int) -> tuple[nn.Module, dict[str, float]]:
    """Return the model that is trained, and what the learning rate of a parameter is multiplied by, by name; {}: all learn alike.

    model: as `load_model` returns it. Raises ConfigError if the method or an option cannot be used on this model.
    """
    training = settings.training
    factors = rate_factors(model, training.layerwise_lr_decay) if training.layerwise_lr_decay < 1 else {}
    built = method_of(settings.method).build(model, settings.method, task=task, seed=seed)
    shift_targets(built)
    add_embedding_noise(built, training.neftune_alpha)
    checkpoint_gradients(built, training.gradient_checkpointing)
    if task.packing is not None:
        read_packed_batches(built, task.packing)
    return built, factors
