"""Encoders whose layers compute no padding: the tokens of all texts of a pass stand behind each other in one row, between the embeddings and the head.

Padded, a pass over texts of different lengths computes as many tokens for each text as the longest has. Attention is the only place where tokens meet, and
goes from text to text here; all other parts of a layer look at each token alone. The embeddings and the head still get the padded form, so that
positions, poolers and heads of all kinds work as they are. docs/benchmarks.md has what it saves.
Shapes: B = texts, T = tokens of the longest, N = tokens of all texts, H = size of the hidden state, A = heads, D = size of a head.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

if TYPE_CHECKING:
    import transformers

ENCODERS = {
    "albert": "encoder",
    "bert": "encoder",
    "camembert": "encoder",
    "distilbert": "transformer",
    "electra": "encoder",
    "roberta": "encoder",
    "xlm-roberta": "encoder",
}
"""Architectures in whose attention each token meets all others of its text, whatever lies between them → the module that holds the layers."""
_ATTENTION = "tuneloop_text_by_text"
"""Name of the attention in transformers' table."""
_LENGTHS = "text_lengths"
"""The argument by which the attention gets the tokens of each text. Layers hand on what they do not know."""
_MOST_ROUNDING = 1e-4
"""Most difference between the states of both forms, as a part of the largest state."""
_log = logging.getLogger(__name__)


def pads(model: transformers.PreTrainedModel) -> bool:
    """Whether a pass computes every text at the length of the longest."""
    return bool(model.config._attn_implementation != _ATTENTION)  # noqa: SLF001  (transformers has no public way to ask)


@torch.inference_mode()
def leave_out_padding(model: transformers.PreTrainedModel) -> None:
    """Let the layers of an encoder compute no padding. A model of another architecture, or whose states would change, stays as it is."""
    kind = model.config.model_type
    if kind not in ENCODERS:
        return
    body, own = model.base_model, model.config._attn_implementation  # noqa: SLF001  (as above)
    inputs = _two_texts()
    mask = inputs["attention_mask"].unsqueeze(-1)
    padding = _Unpadding()
    try:
        expected = body(**inputs).last_hidden_state * mask
        padding.hook(body, getattr(body, ENCODERS[kind]))
        model.set_attn_implementation(_ATTENTION)
        moved = (body(**inputs).last_hidden_state * mask - expected).abs().max()
        refusal = "" if moved <= _MOST_ROUNDING * expected.abs().max() else f"its states would change by {moved:.2g}"
    except Exception as error:  # noqa: BLE001  (whatever the code of a model raises: it still computes with padding)
        refusal = str(error)
    if refusal:
        _log.info("%s computes padding: %s", kind, refusal)
        padding.unhook()
        model.set_attn_implementation(own)


def _two_texts() -> dict[str, torch.Tensor]:
    """Return texts of 4 tokens and of 1: models that compute in chunks of tokens cannot compute both 4 and 5 of them, and are refused."""
    return {
        "input_ids": torch.tensor([[5, 6, 7, 8], [9, 0, 0, 0]]),
        "attention_mask": torch.tensor([[1, 1, 1, 1], [1, 0, 0, 0]]),
    }


@dataclass(frozen=True, kw_only=True)
class _Texts:
    """Where the tokens of a pass stand in its padded form."""

    places: torch.Tensor
    """int64 [N]: of each token in B x T."""
    lengths: list[int]
    shape: torch.Size
    """[B, T]."""

    @staticmethod
    def of(mask: torch.Tensor | None) -> _Texts | None:
        """mask: [B, T], 0 at padding. None if there is no padding to leave out: heads read the first place of a text, which is padding on the left."""
        if mask is None or bool(mask.all()) or not bool(mask[:, 0].all()):
            return None
        places = mask.flatten().nonzero().squeeze(1)
        return _Texts(places=places, lengths=mask.sum(dim=1).tolist(), shape=mask.shape)

    def in_one_row(self, states: torch.Tensor) -> torch.Tensor:
        """[B, T, H] → [1, N, H]."""
        return states.flatten(0, 1).index_select(0, self.places).unsqueeze(0)

    def padded(self, states: torch.Tensor) -> torch.Tensor:
        """[1, N, H] → [B, T, H], zeros at padding."""
        empty = states.new_zeros(self.shape.numel(), states.shape[-1])
        return empty.index_copy_(0, self.places, states[0]).view(*self.shape, -1)


class _Unpadding:
    """Changes what goes into the layers of a model, and what comes out. A model runs one pass at a time."""

    def __init__(self) -> None:
        self._texts: _Texts | None = None
        """Of the pass under way; None: it has no padding."""
        self._hooks: list[torch.utils.hooks.RemovableHandle] = []

    def hook(self, body: torch.nn.Module, encoder: torch.nn.Module) -> None:
        """body: gets the attention mask. encoder: the layers."""
        self._hooks = [
            body.register_forward_pre_hook(self._note, with_kwargs=True),
            encoder.register_forward_pre_hook(self._in_one_row, with_kwargs=True),
            encoder.register_forward_hook(self._padded),
        ]

    def unhook(self) -> None:
        for hook in self._hooks:
            hook.remove()

    def _note(self, _module: Any, _arguments: Any, options: dict[str, Any]) -> None:
        self._texts = _Texts.of(options.get("attention_mask"))

    def _in_one_row(
        self, _module: Any, arguments: tuple[Any, ...], options: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
        if self._texts is None:
            return None
        rest = dict(options)
        states = arguments[0] if arguments else rest.pop("hidden_states")
        return (self._texts.in_one_row(states),), rest | {_LENGTHS: self._texts.lengths}

    def _padded(self, _module: Any, _arguments: Any, outputs: Any) -> Any:
        if self._texts is not None:
            outputs.last_hidden_state = self._texts.padded(outputs.last_hidden_state)
        return outputs


def _attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    *,
    text_lengths: list[int] | None = None,
    **options: Any,
) -> tuple[torch.Tensor, None]:
    """Return the attention of each text to itself, which needs no mask: three times [1, A, N, D] → [1, N, A, D]. Without `text_lengths` it is transformers' own."""
    if text_lengths is None:
        return sdpa_attention_forward(module, query, key, value, attention_mask, **options)
    texts = zip(*(states.split(text_lengths, dim=2) for states in (query, key, value)), strict=True)
    attended = [
        scaled_dot_product_attention(queries, keys, values, scale=options["scaling"]) for queries, keys, values in texts
    ]
    return torch.cat([of_text.transpose(1, 2) for of_text in attended], dim=1), None


AttentionInterface.register(_ATTENTION, _attention)
AttentionMaskInterface.register(_ATTENTION, sdpa_mask)
