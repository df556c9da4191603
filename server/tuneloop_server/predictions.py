"""What goes into a forward pass and what comes out: plain data between the model, the batching and the protocols."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True)
class Encoded:
    """A text as token ids, special tokens included."""

    ids: list[int]
    truncated: bool
    """The text was longer than the model takes, and was cut."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """What the model says about one text; lists are in the order of the label ids."""

    logits: list[float]
    probabilities: list[float]
    """softmax(logits)"""
    calibrated_confidence: float
    """Largest entry of softmax(logits / temperature)."""
    tokens: int
    truncated: bool


class Classifier(Protocol):
    """A loaded model. `encode` may be called from several threads at once, `predict` from one."""

    def encode(self, texts: Sequence[str]) -> list[Encoded]: ...

    def predict(self, batch: Sequence[Encoded]) -> list[Prediction]: ...
