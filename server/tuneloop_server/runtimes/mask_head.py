"""The output layer of a masked language model, at the mask tokens alone: it has as many outputs as the vocabulary has tokens, for each token of each text.

Shapes: B = windows, T = tokens of the longest, H = size of the state that the layer reads, K = mask tokens of all windows, V = size of the vocabulary.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    import transformers
    from torch import Tensor, nn


class MaskHead:
    """Makes a model compute logits at its mask tokens alone. All layers before the last run over all tokens, as always."""

    def __init__(self, model: transformers.PreTrainedModel, *, mask_id: int) -> None:
        self._model = model
        self._mask_id = mask_id
        self._layer: nn.Module | None = model.get_output_embeddings()

    def logits(self, inputs: dict[str, Tensor]) -> Tensor:
        """Return the logits at the mask tokens, window after window, [K, V]."""
        places = inputs["input_ids"] == self._mask_id
        with self._only(places):
            logits: Tensor = self._model(**inputs).logits
        return (
            logits[places] if logits.ndim == places.ndim + 1 else logits
        )  # an output layer may be no module of its own

    @contextmanager
    def _only(self, places: Tensor) -> Iterator[None]:
        """Let the output layer read the states [B, T, H] at some places alone: [K, H]."""
        if self._layer is None:
            yield
            return

        def select(_: nn.Module, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
            states, *rest = arguments
            return (states[places], *rest)

        hook = self._layer.register_forward_pre_hook(select)
        try:
            yield
        finally:
            hook.remove()
