"""Lets a model read packed batches: a row of a line sees no other row.

A decoder of transformers makes such a mask itself where positions begin anew, no attention mask is given and no cache is kept: layers with a sliding window are right, too. An encoder gets
the mask from here.

Shapes: L = lines, T = tokens of a line.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import torch

from tuneloop_trainer.tasks.packing import POSITION_IDS, SEQUENCE_IDS

if TYPE_CHECKING:
    from torch import Tensor, nn

_SLIDING = "sliding_attention"


def read_packed_batches(model: nn.Module, attention: Literal["causal", "bidirectional"]) -> None:
    """Let the model take `sequence_ids` and `position_ids` as `tasks.packing` makes them. Batches without them are read as before."""
    offset = _first_position(model)
    model.register_forward_pre_hook(partial(_unpacked_inputs, attention=attention, offset=offset), with_kwargs=True)


def _first_position(model: nn.Module) -> int:
    """Return the position of a row's first token. RoBERTa and its kin count from the token behind that of padding."""
    embeddings: Any = next(
        (module for module in model.modules() if hasattr(module, "create_position_ids_from_input_ids")), None
    )
    return 0 if embeddings is None else int(embeddings.padding_idx) + 1


def _unpacked_inputs(
    module: nn.Module, args: Any, kwargs: dict[str, Any], *, attention: str, offset: int
) -> tuple[Any, dict[str, Any]]:
    sequence_ids = kwargs.get(SEQUENCE_IDS)
    if sequence_ids is None:
        return args, kwargs
    inputs = {name: value for name, value in kwargs.items() if name != SEQUENCE_IDS}
    inputs[POSITION_IDS] = inputs[POSITION_IDS] + offset
    if attention == "bidirectional":
        inputs["attention_mask"] = _mask(sequence_ids, config=module.config, dtype=next(module.parameters()).dtype)
    return args, inputs


def _mask(sequence_ids: Tensor, *, config: Any, dtype: torch.dtype) -> Tensor | dict[str, Tensor]:
    """Return which tokens see each other, [L, 1, T, T]; by the type of layer, where some see their neighbours alone. dtype: of the weights, which the engine may have cast."""
    same_row = sequence_ids[:, None, :, None] == sequence_ids[:, None, None, :]
    if _SLIDING not in (getattr(config, "layer_types", None) or ()):
        return _for_attention(same_row, config, dtype=dtype)
    places = torch.arange(sequence_ids.shape[1], device=sequence_ids.device)
    is_near = (places[:, None] - places[None, :]).abs() <= config.sliding_window
    return {
        "full_attention": _for_attention(same_row, config, dtype=dtype),
        _SLIDING: _for_attention(same_row & is_near, config, dtype=dtype),
    }


def _for_attention(sees: Tensor, config: Any, *, dtype: torch.dtype) -> Tensor:
    """Return a mask as the model's attention wants it: sdpa takes truth values, eager adds numbers to the scores."""
    if config._attn_implementation == "sdpa":  # noqa: SLF001  (transformers has no public way)
        return sees
    return torch.zeros(sees.shape, dtype=dtype, device=sees.device).masked_fill(~sees, torch.finfo(dtype).min)
