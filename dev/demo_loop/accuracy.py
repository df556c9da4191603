"""Accuracy with a 95 % interval where rows of one text may be alike: Wilson's limits at the effective number of rows.

The effective number is the number of rows divided by the design effect of the clusters (Kish 1965; for proportions: Korn and Graubard 1998).
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

Z = 1.959964
"""Standard deviations of a two-sided 95 % interval."""


@dataclass(frozen=True, kw_only=True)
class Accuracy:
    """Share of right answers with its 95 % interval."""

    value: float
    low: float
    high: float
    rows: int
    clusters: int

    def to_json(self) -> dict[str, float]:
        """Return the fields as JSON."""
        return asdict(self)


def accuracy_of(right: Sequence[bool], parents: Sequence[str]) -> Accuracy:
    """Return the accuracy over rows; rows with one parent are one cluster. Raises ValueError without rows."""
    if not right:
        raise ValueError("right: no rows; accuracy needs at least one")
    answers = np.asarray(right, dtype=float)
    share = float(answers.mean())
    low, high = wilson(share, len(answers) / design_effect(answers, parents))
    return Accuracy(value=share, low=low, high=high, rows=len(answers), clusters=len(set(parents)))


def gain(before: Accuracy, after: Accuracy) -> tuple[float, float, float]:
    """Return after less before with its 95 % limits, from the limits of the two (Newcombe's method 10, Statistics in Medicine 17 (1998) 873-890)."""
    value = after.value - before.value
    below = math.hypot(after.value - after.low, before.high - before.value)
    above = math.hypot(after.high - after.value, before.value - before.low)
    return value, value - below, value + above


def design_effect(answers: np.ndarray, parents: Sequence[str]) -> float:
    """Return by how much clusters widen the variance of a share; at least 1, since a smaller estimate is chance.

    answers: float [N] of 0 and 1. The variance over clusters is that of a ratio, with the factor k / (k - 1) for k clusters.
    """
    share, count = answers.mean(), len(answers)
    _, cluster_of = np.unique(np.asarray(parents), return_inverse=True)
    sums = np.bincount(cluster_of, weights=answers - share)
    plain = share * (1 - share) / count
    if plain == 0 or len(sums) < 2:
        return 1.0
    clustered = len(sums) / (len(sums) - 1) * float((sums**2).sum()) / count**2
    return max(1.0, clustered / float(plain))


def wilson(share: float, count: float) -> tuple[float, float]:
    """Return Wilson's 95 % limits of a share of `count` rows; `count` may be a fraction."""
    middle = share + Z * Z / (2 * count)
    spread = Z * (share * (1 - share) / count + Z * Z / (4 * count * count)) ** 0.5
    scale = 1 + Z * Z / count
    return (middle - spread) / scale, (middle + spread) / scale
