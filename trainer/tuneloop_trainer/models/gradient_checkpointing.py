"""Gradient checkpointing: the backward pass computes the insides of layers again (Chen et al. 2016, arXiv:1604.06174)."""

from __future__ import annotations

from typing import Any, Literal

from tuneloop_trainer.errors import ConfigError


def checkpoint_gradients(model: Any, asked: Literal["always", "never"]) -> None:
    """Let the model keep the inputs of its layers alone while it trains, if `always` is asked for. The random numbers of dropout are the same in both passes.

    Raises ConfigError if the architecture cannot do it.
    """
    if asked == "never":
        return
    try:
        # the reentrant form passes no gradients where all inputs of a layer are frozen, as with adapters
        model.activation_checkpointing_enable(activation_checkpointing_kwargs={"use_reentrant": False})
    except ValueError as error:  # transformers has no class of its own for this
        raise ConfigError(
            f"spec.training.gradientCheckpointing: {model.config.model_type} cannot compute its layers again: {error}",
            hint="leave training.gradientCheckpointing out, and lower training.microBatchSize to save memory",
        ) from error
