"""The vector that stands for a text: what the trainer and both of the server's runtimes take from a model for projections.

It is the mean of the last hidden state over the tokens of the text, special tokens included. All architectures have such a state, and the body gives it to
whatever head there is, so the rule asks for no architecture. Tensors come from the caller: this file imports no torch.

Shapes: B = texts, T = tokens of the longest, H = size of the hidden state.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

VECTOR = "text_vector"
"""Name of the second output of an ONNX file, float32 [B, H]."""


def mean_of_tokens(states: Any, mask: Any) -> Any:
    """Return the mean of each text's states: tensors [B, T, H], and [B, T] with 0 at padding → [B, H]."""
    # a product takes a seventh of the time of a copy with zeros at padding
    sums = mask.unsqueeze(1).to(states.dtype) @ states
    return sums.squeeze(1) / mask.sum(dim=1, keepdim=True)


class LastStates:
    """Notes the last hidden state of each pass of a model of transformers, on its way to the head."""

    def __init__(self, model: Any) -> None:
        self.states: Any = None
        self._hook = model.base_model.register_forward_hook(self._note)

    def close(self) -> None:
        """Leave the model as it was."""
        self._hook.remove()
        self.states = None

    def vectors(self, mask: Any) -> Any:
        """Return the vectors of the texts of the last pass, [B, H], whose attention mask is `mask` [B, T]; None if tokens have no state of their own."""
        states, self.states = self.states, None  # they would take memory until the next pass
        if states is None or states.ndim != 3 or states.shape[:2] != mask.shape:
            return None
        return mean_of_tokens(states, mask)

    def _note(self, _module: Any, _inputs: Any, outputs: Any) -> None:
        self.states = outputs[0]


@contextmanager
def noting(model: Any) -> Iterator[LastStates]:
    """Note the last states of the passes of a block."""
    last = LastStates(model)
    try:
        yield last
    finally:
        last.close()
