"""NEFTune: noise on the embeddings of a text's tokens, in training alone (Jain et al. 2023, arXiv:2310.05914)."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from tuneloop_trainer.errors import ConfigError

if TYPE_CHECKING:
    from torch import Tensor


def add_embedding_noise(model: Any, alpha: float) -> None:
    """Let the model add noise to its input embeddings while it trains; alpha 0: none. Every module that reads the table of input embeddings gets it: T5 and BART have several.

    The noise comes from torch's generator, as dropout does: the loop seeds it for each micro-batch of a step, so that ranks, ZeRO stages and restarts change nothing. Raises ConfigError if the model
    has no such table.
    """
    if not alpha:
        return
    table = model.get_input_embeddings()
    if not isinstance(table, nn.Embedding):
        raise ConfigError(
            f"spec.training.neftuneAlpha: {model.config.model_type} has no plain table of input embeddings, to which noise could be added",
            hint="leave training.neftuneAlpha out, or use a model such as bert, roberta or llama",
        )
    for module in model.modules():
        if isinstance(module, nn.Embedding) and module.weight is table.weight:
            module.register_forward_hook(partial(_noisy, alpha=alpha))


def _noisy(module: nn.Module, _inputs: Any, embeddings: Tensor, *, alpha: float) -> Tensor:
    """Return the embeddings, [B, T, D], plus numbers drawn evenly from ± alpha / √(T x D). T counts padding, as transformers has it."""
    if not module.training:
        return embeddings
    size = alpha / (embeddings.shape[-2] * embeddings.shape[-1]) ** 0.5
    return embeddings + torch.zeros_like(embeddings).uniform_(-size, size)
