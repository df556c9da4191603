"""Beam search: several beginnings of an answer grow together, and the likeliest whole one is the answer. The order of each step is that of transformers.

Source: `GenerationMixin._beam_search` of transformers 5. K = beams, R = rows that were computed (1 in the first pass, then K), V = tokens of the vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

import numpy as np

from tuneloop_server.generation.sampling import log_probabilities

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from tuneloop_server.generation.sampling import TokenRules

    Floats: TypeAlias = NDArray[np.float32]

_PART = 64
"""Scores of a part that is looked at only if its maximum is among the largest."""
_NEVER = np.float32(-1e9)
"""Score of what must not be chosen, as in transformers."""


@dataclass(frozen=True, kw_only=True)
class Beams:
    """How an answer is searched for."""

    count: int
    length_penalty: float = 1.0
    """The sum of the log-probabilities of an answer is divided by (its tokens) to this power."""
    early_stopping: bool | Literal["never"] = False
    """True: the search ends with as many whole answers as beams. False: once no beam can become better, going by its length now; never: by its longest length."""


class Hypothesis(NamedTuple):
    """A beginning of an answer."""

    tokens: tuple[int, ...] = ()
    logprobs: tuple[float, ...] = ()
    """Of each token, by the model."""


class BeamSearch:
    """The beams of one answer."""

    def __init__(
        self, beams: Beams, *, start: Sequence[int], most: int, ends: frozenset[int], change: TokenRules
    ) -> None:
        """start: what the decoder reads first. most: tokens of an answer. ends: tokens that end one. change: the scores of tokens, by what they follow."""
        count = beams.count
        self._beams, self._start, self._most, self._ends, self._change = beams, tuple(start), most, ends, change
        self._candidates = max(2, 1 + len(ends)) * count
        self._is_of_the_best = np.arange(self._candidates) < count
        self._running = [Hypothesis()] * count
        self._scores = np.array([0, *[_NEVER] * (count - 1)], dtype=np.float32)
        """Only tokens of the first beam count in the first step, since all are alike."""
        self._whole = [Hypothesis()] * count
        self._whole_scores = np.full(count, _NEVER)
        self._is_whole = np.zeros(count, dtype=bool)
        self.origins = [0] * count
        """Of each beam: the row that it goes on from."""
        self.is_over = False

    @property
    def last_tokens(self) -> list[int]:
        """The newest token of each beam."""
        return [hypothesis.tokens[-1] for hypothesis in self._running]

    @property
    def best(self) -> Hypothesis:
        """The answer, once the search is over."""
        return self._whole[0]

    def advance(self, logits: Floats) -> None:
        """Let each beam grow by a token. logits: [R, V]. Raises NotFinite."""
        count, vocabulary = self._beams.count, logits.shape[1]
        of_model = np.broadcast_to(log_probabilities(logits), (count, vocabulary))
        changed = self._change([[*self._start, *hypothesis.tokens] for hypothesis in self._running], of_model)
        sums = (changed + self._scores[:, None]).ravel()
        places = _largest(sums, self._candidates)
        origins, tokens = np.divmod(places, vocabulary)
        grown = [
            Hypothesis((*hypothesis.tokens, token), (*hypothesis.logprobs, float(of_model[origin, token])))
            for origin, token in zip(origins.tolist(), tokens.tolist(), strict=True)
            for hypothesis in (self._running[origin],)
        ]
        length = len(grown[0].tokens)
        ended = np.array([length >= self._most or token in self._ends for token in tokens.tolist()])
        self._go_on(grown, sums[places], ended, origins=origins if len(logits) > 1 else np.zeros_like(origins))
        self._collect(grown, sums[places], ended, length=length)
        is_full = self._beams.early_stopping is True and bool(self._is_whole.all())
        self.is_over = not self._can_improve(length) or is_full or bool(ended.all())

    def _go_on(
        self, grown: Sequence[Hypothesis], sums: Floats, ended: NDArray[np.bool_], *, origins: NDArray[np.intp]
    ) -> None:
        """Choose the beams of the next step: the best that have not ended."""
        scores = sums + ended.astype(np.float32) * _NEVER
        chosen = _largest(scores, self._beams.count)
        self._running = [grown[place] for place in chosen]
        self._scores, self.origins = scores[chosen], origins[chosen].tolist()

    def _collect(self, grown: Sequence[Hypothesis], sums: Floats, ended: NDArray[np.bool_], *, length: int) -> None:
        """Keep the best whole answers, of those that were whole already and of those that have ended now."""
        count = ended & self._is_of_the_best
        scores = sums / np.float32(length**self._beams.length_penalty)
        scores = scores + (~count).astype(np.float32) * _NEVER
        all_scores, are_whole = np.concatenate([self._whole_scores, scores]), np.concatenate([self._is_whole, count])
        chosen = _largest(all_scores, self._beams.count)
        hypotheses = [*self._whole, *grown]
        self._whole = [hypotheses[place] for place in chosen]
        self._whole_scores, self._is_whole = all_scores[chosen], are_whole[chosen]

    def _can_improve(self, length: int) -> bool:
        """Tell whether the best beam may become better than the worst whole answer."""
        penalty = self._beams.length_penalty
        longest = self._most if self._beams.early_stopping == "never" and penalty > 0 else length
        best = self._scores[0] / longest**penalty
        worst = np.where(self._is_whole, self._whole_scores.min(), _NEVER)
        return bool((best > worst).any())


def _largest(scores: Floats, count: int) -> NDArray[np.intp]:
    """Return the places of the largest scores, the largest first.

    They lie in the parts with the largest maxima. To look for them among all scores of a vocabulary would take as long as the rest of a step.
    """
    places = np.arange(len(scores))
    if len(scores) > 2 * count * _PART:
        whole = len(scores) // _PART * _PART
        maxima = scores[:whole].reshape(-1, _PART).max(axis=1)
        parts = np.argpartition(-maxima, count - 1)[:count]
        places = np.concatenate([(parts[:, None] * _PART + np.arange(_PART)).ravel(), places[whole:]])
    chosen = np.sort(places[np.argpartition(-scores[places], count - 1)[:count]])
    return chosen[np.argsort(-scores[chosen], kind="stable")]
