"""Targets of a model that writes texts, as its decoder reads them: by the model's own shift, and without the loss that the model would make of them."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor, nn

_SHIFT = "prepare_decoder_input_ids_from_labels"
"""Name in transformers: labels [B, L] → what the decoder reads, [B, L]."""
_PAIR = "encoder-decoder"


def shift_targets(model: Any) -> None:
    """Let a model turn `labels` into what its decoder reads before each forward pass. Given labels, it computes a mean loss that nobody reads, on the largest logits of the pass.

    A model that has no such function, as one that writes no texts, stays as it is; so does a pair of two models, which makes a mask of the labels, too.
    """
    shift = getattr(model, _SHIFT, None)
    if shift is not None and model.config.model_type != _PAIR:
        model.register_forward_pre_hook(partial(_shifted, shift=shift), with_kwargs=True)


def _shifted(
    _module: nn.Module, positional: tuple[Any, ...], named: dict[str, Any], *, shift: Callable[[Tensor], Tensor]
) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
    """Return the arguments of a forward pass without labels; None: they stay as they are. Without labels models keep keys and values, for which training has no use."""
    labels = named.get("labels")
    if labels is None:
        return None
    others = {name: value for name, value in named.items() if name != "labels"}
    return positional, {**others, "decoder_input_ids": shift(labels), "use_cache": False}
