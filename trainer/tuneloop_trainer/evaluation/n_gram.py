"""An n-gram language model of tokens: what is gained by counting alone.

It interpolates the counts of one, two and three tokens (Witten and Bell 1991, doi:10.1109/18.87000): after a context that was followed by many different tokens, the shorter
context counts for more. The shortest is the uniform distribution over the vocabulary.

Shapes: M = targets.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from tuneloop_trainer.evaluation.metrics import Floats, Integers

ORDER = 3


@dataclass(frozen=True, kw_only=True)
class Targets:
    """Tokens that follow others."""

    context: Integers
    """[M, 2] the two tokens before each target, the nearest last; -1 where the text has none."""
    tokens: Integers
    """[M]"""


@dataclass(frozen=True, kw_only=True)
class _Counts:
    """How often tokens followed the contexts of one length, each a number."""

    pairs: Integers
    """Context and token as one number, sorted."""
    times: Integers
    contexts: Integers
    """Sorted."""
    totals: Integers
    kinds: Integers
    """Different tokens that followed each context."""


class NGramModel:
    """Counts of one, two and three tokens."""

    def __init__(self, train: Targets, *, vocabulary: int) -> None:
        self._vocabulary = vocabulary
        self._counts = [_count(self._context(train, length), train.tokens, vocabulary) for length in range(ORDER)]

    def losses(self, targets: Targets) -> Floats:
        """Return minus the log probability of each target, in nats, float64 [M]."""
        probability = np.full(len(targets.tokens), 1 / self._vocabulary)
        for length, counts in enumerate(self._counts):
            context = self._context(targets, length)
            times = _found(counts.pairs, counts.times, context * self._vocabulary + targets.tokens)
            total, kinds = (_found(counts.contexts, values, context) for values in (counts.totals, counts.kinds))
            known = total > 0
            mixed = (times + kinds * probability) / np.maximum(total + kinds, 1)
            probability = np.where(known, mixed, probability)
        result: Floats = -np.log(probability)
        return result

    def _context(self, targets: Targets, length: int) -> Integers:
        """Return the last tokens before each target as one number, [M]; it is negative where the text has none."""
        number = np.zeros(len(targets.tokens), dtype=np.int64)
        for column in range(targets.context.shape[1] - length, targets.context.shape[1]):
            number = number * self._vocabulary + targets.context[:, column]
        return number


def _count(context: Integers, tokens: Integers, vocabulary: int) -> _Counts:
    pairs, times = np.unique(context * vocabulary + tokens, return_counts=True)
    contexts, first, kinds = np.unique(pairs // vocabulary, return_index=True, return_counts=True)
    return _Counts(pairs=pairs, times=times, contexts=contexts, totals=np.add.reduceat(times, first), kinds=kinds)


def _found(keys: Integers, values: Integers, wanted: Integers) -> Integers:
    """Return the value of each wanted key, 0 where it is not among the keys."""
    place = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.where(keys[place] == wanted, values[place], 0)
