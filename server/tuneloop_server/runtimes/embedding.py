"""Embeddings of texts: which models make them, and how the vectors of a text's tokens become one vector.

The vector is the mean over the tokens, special tokens included, divided by its L2 norm: what sentence-transformers does for most of its models. A vector
for a text needs tokens that see all of the text, so only encoders make one: a token of a decoder sees what stands before it.

Shapes: B = texts, T = tokens of the longest, H = size of the hidden state.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import torch

from tuneloop_api.features.text_vectors import mean_of_tokens
from tuneloop_server.model import EmbeddingSupport

if TYPE_CHECKING:
    from collections.abc import Sequence

_MOST_ROUNDING = 1e-5
"""If the last token of a text changes, the first token's vector moves by more than this part of its largest number in an encoder, and in a decoder not at
all, up to rounding. Measured with random weights over all architectures of text classification: decoders 0, encoders 9e-5 and more."""
_log = logging.getLogger(__name__)


def embeddings_of(states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Return the embeddings of texts: [B, T, H], and [B, T] with 0 at padding → [B, H] of L2 norm 1."""
    return torch.nn.functional.normalize(mean_of_tokens(states, mask), dim=-1)


def embedding_support(model: Any, ids: Sequence[int]) -> EmbeddingSupport:
    """Return whether a model of transformers makes embeddings. ids: a short text.

    The model is tried, since no configuration tells encoders and decoders apart. It never fails: a model without embeddings still does its task.
    """
    kind = model.config.model_type
    if model.config.is_encoder_decoder:
        return _refusal(kind, "reads a text and writes another (encoder-decoder)")
    try:
        first, second = (_states(model.base_model, text) for text in _texts_that_end_differently(ids))
    except Exception:  # noqa: BLE001  (whatever the code of an architecture raises: embeddings are an extra)
        _log.debug("the encoder cannot be run alone", exc_info=True)
        return _refusal(kind, "cannot be run without its head")
    if first is None or second is None:
        return _refusal(kind, "has no hidden state for each token")
    moved = (first[0] - second[0]).abs().max()
    if moved <= _MOST_ROUNDING * first[0].abs().max():
        return _refusal(kind, "reads from left to right (decoder)")
    return EmbeddingSupport(size=first.shape[-1])


def _texts_that_end_differently(ids: Sequence[int]) -> tuple[list[int], list[int]]:
    text = list(ids) if len(ids) > 1 else [*ids, *ids]
    return text, [*text[:-1], 0 if text[-1] else 1]


def _states(encoder: Any, ids: list[int]) -> torch.Tensor | None:
    """Return the last hidden state [T, H] of a text; None if there is not one vector for each token."""
    tokens = torch.tensor([ids], device=next(encoder.parameters()).device)
    states = getattr(encoder(input_ids=tokens, attention_mask=torch.ones_like(tokens)), "last_hidden_state", None)
    return states[0] if states is not None and states.shape[:2] == tokens.shape else None


def _refusal(kind: str, reason: str) -> EmbeddingSupport:
    message = f"this model makes no embeddings: {kind} {reason}; encoders make them, for example BERT or RoBERTa"
    return EmbeddingSupport(refusal=message)
