"""Which token comes next. The order is that of transformers: repetition penalty, temperature, top_k, top_p, draw.

V = tokens of the vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from numpy.typing import NDArray

_FEW = 1024
"""So many of the most probable tokens are sorted first: nearly always they hold the mass of top_p, and to sort 50,000 takes 20 times as long."""


class NotFinite(ValueError):  # noqa: N818  (named for what it means)
    """The logits hold NaN or an infinity: the weights are damaged."""


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How a token is chosen."""

    temperature: float = 0.0
    """0: the most probable token (greedy)."""
    top_k: int = 0
    """Only the k most probable tokens; 0: all."""
    top_p: float = 1.0
    """Only the most probable tokens whose probabilities reach this sum."""
    repetition_penalty: float = 1.0
    """Logits of tokens that were there are divided by it where they are positive, else multiplied; 1: they are not changed."""
    seed: int | None = None
    """None: another draw each time."""


class Chosen(NamedTuple):
    """The next token."""

    token: int
    logprob: float
    """Logarithm of its probability by the model: softmax of the logits, unchanged."""


TokenRules: TypeAlias = "Callable[[Sequence[Sequence[int]], NDArray[np.float32]], NDArray[np.float32]]"
"""What a model may write at all: (tokens of each row from the decoder's first on; scores, [rows, V]) → scores, -inf for what is forbidden."""


class TokenChooser:
    """Chooses the tokens of one answer, one after another."""

    def __init__(self, sampling: Sampling, prompt: Iterable[int], *, rules: TokenRules | None = None) -> None:
        self._sampling = sampling
        self._random = np.random.default_rng(sampling.seed)
        self._tokens = list(prompt)
        self._present = set(self._tokens) if sampling.repetition_penalty != 1.0 else None
        self._rules = rules

    def choose(self, logits: NDArray[np.float32]) -> Chosen:
        """Return the next token. logits: [V]. Raises NotFinite."""
        log_sum = _log_sum(logits)
        penalty = self._sampling.repetition_penalty
        scores = logits if self._present is None else penalized(logits, self._present, penalty)
        if self._rules is not None:
            (scores,) = self._rules([self._tokens], scores[None])
        token = int(scores.argmax()) if self._sampling.temperature == 0 else self._drawn(scores)
        self._tokens.append(token)
        if self._present is not None:
            self._present.add(token)
        return Chosen(token, float(logits[token]) - log_sum)

    def _drawn(self, scores: NDArray[np.float32]) -> int:
        ids, probabilities = candidates(scores, self._sampling)
        sums = np.cumsum(probabilities)
        place = int(np.searchsorted(sums, self._random.random() * sums[-1], side="right"))
        return int(ids[min(place, len(ids) - 1)])


def candidates(scores: NDArray[np.float32], sampling: Sampling) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Return the tokens that may be drawn with their probabilities. scores: [V]. sampling: its temperature is above 0."""
    scaled = scores.astype(np.float64) / sampling.temperature
    ids = np.arange(len(scaled))
    if 0 < sampling.top_k < len(scaled):
        least = np.partition(scaled, -sampling.top_k)[-sampling.top_k]
        ids = np.flatnonzero(scaled >= least)
    weights = np.exp(scaled[ids] - scaled.max())
    weights /= weights.sum()
    if sampling.top_p < 1.0:
        order = _most_probable(weights, sampling.top_p)
        ids, weights = ids[order], weights[order]
        weights = weights / weights.sum()
    return ids, weights


def _most_probable(weights: NDArray[np.float64], mass: float) -> NDArray[np.intp]:
    """Return the places of the largest weights, the fewest whose sum reaches `mass`."""
    few = np.argpartition(weights, -_FEW)[-_FEW:] if len(weights) > _FEW else np.arange(len(weights))
    if weights[few].sum() < mass:
        few = np.arange(len(weights))
    order = few[np.argsort(-weights[few], kind="stable")]
    return order[: int(np.searchsorted(np.cumsum(weights[order]), mass)) + 1]


def log_probabilities(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the logarithms of the tokens' probabilities by the model, [rows, V]. Raises NotFinite."""
    return np.stack([of_row - np.float32(_log_sum(of_row)) for of_row in logits])


def _log_sum(logits: NDArray[np.float32]) -> float:
    """Return the logarithm of the sum of the exponentials of logits, [V]. Raises NotFinite."""
    top = float(logits.max())
    if not np.isfinite(top):
        raise NotFinite("the logits are not finite numbers")
    return top + float(np.log(np.exp(logits - top).sum()))


def penalized(logits: NDArray[np.float32], present: set[int], penalty: float) -> NDArray[np.float32]:
    """Return scores in which the tokens that are present have become less probable. logits: [V], or the logarithms of probabilities."""
    scores = logits.copy()
    places = np.fromiter(present, dtype=np.intp, count=len(present))
    found = scores[places]
    scores[places] = np.where(found < 0, found * penalty, found / penalty)
    return scores
