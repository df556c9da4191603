"""Which tokens of a row a masked language model is to predict, and what it reads in their place. Pure: the same for the same row and draw.

Tokens are drawn by units: a word, or a token alone. A special token is of no unit. A row always has the same number of targets, whatever is drawn, so that the
number of targets of a global batch is known before the batch is run. A unit is masked whole; where the last one that is drawn has more tokens than targets are
left, the further ones are masked and are no targets.

Of the masked tokens 80 % are read as the mask token, 10 % as any other token, and 10 % as they are (Devlin et al. 2019, arXiv:1810.04805).

Shapes: T = tokens of a row, M = targets of the row, K = its masked tokens, K >= M.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tuneloop_trainer.dataset.shards import IGNORED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

NO_UNIT = -1
"""Unit of a token that is never masked."""
FIXED: tuple[int, ...] = (0,)
"""The draw of all measurements: the same before training and after."""
_MASK_TOKEN, _ANY_TOKEN = 0.8, 0.9
"""Below these random numbers a masked token is read as the mask token, or as any token."""


def drawn_for_training(*, seed: int, epoch: int) -> tuple[int, ...]:
    """Return the draw of an epoch of training."""
    return (1, seed, epoch)


def targets_of(maskable: int, probability: float) -> int:
    """Return how many of the tokens that may be masked are targets: their part by the probability, rounded, and at least one if there is a token."""
    return min(maskable, max(1, math.floor(maskable * probability + 0.5)))


@dataclass(frozen=True, kw_only=True)
class Masks:
    """What is drawn for a row."""

    masked: NDArray[np.int64]
    """Places of the masked tokens, [K]; the first M of them are the targets."""
    targets: int
    """M"""
    generator: np.random.Generator
    """Draws what the masked tokens are read as."""

    def labels(self, ids: NDArray[np.int32]) -> NDArray[np.int32]:
        """Return what is to be predicted: the token at each target, else IGNORED, [T]."""
        labels = np.full(len(ids), IGNORED, dtype=np.int32)
        places = self.masked[: self.targets]
        labels[places] = ids[places]
        return labels

    def inputs(self, ids: NDArray[np.int32], *, mask_token: int, others: NDArray[np.int32]) -> NDArray[np.int32]:
        """Return what the model reads, [T]; to be asked once. others: ids of the tokens that may stand for a masked one."""
        chance = self.generator.random(len(self.masked))
        any_token = others[self.generator.integers(len(others), size=len(self.masked))]
        read = np.where(chance < _ANY_TOKEN, any_token, ids[self.masked])
        inputs = ids.copy()
        inputs[self.masked] = np.where(chance < _MASK_TOKEN, mask_token, read)
        return inputs


def draw_masks(units: NDArray[np.int32], *, targets: int, draw: Sequence[int], row: int, block: int = 0) -> Masks:
    """Return the masks of a row. units: number of each token's unit, [T], or NO_UNIT. targets: M, at most as many as there are tokens of a unit. row: its id. block: of a long text, from 0."""
    generator = np.random.default_rng([*draw, row, *([block] if block else [])])
    places = np.flatnonzero(units != NO_UNIT)
    _, unit_of_place, sizes = np.unique(units[places], return_inverse=True, return_counts=True)
    turn_of_unit = generator.permutation(len(sizes))
    by_turn = np.argsort(turn_of_unit)
    reached = np.cumsum(sizes[by_turn])
    masked = int(reached[np.searchsorted(reached, targets)])
    order = np.argsort(turn_of_unit[unit_of_place], kind="stable")
    return Masks(masked=places[order[:masked]], targets=targets, generator=generator)
