"""Quantiles of the χ² distribution. The operator has no scipy, and needs some thirty numbers in its life."""

from __future__ import annotations

import math
from functools import cache

LEVEL = 0.99
"""Of the critical value of PSI."""
_MOST_TERMS = 1000
_HALVINGS = 80


@cache
def critical_chi_squared(degrees: int) -> float:
    """Return the 99 % quantile. degrees: of freedom, at least 1."""
    low, high = 0.0, degrees + 10 * math.sqrt(2 * degrees) + 10
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if _probability(degrees, below=middle) < LEVEL:
            low = middle
        else:
            high = middle
    return high


def _probability(degrees: int, *, below: float) -> float:
    """Return the regularized lower incomplete gamma function P(degrees / 2, below / 2), by its series (Abramowitz and Stegun 6.5.29). below > 0."""
    shape, x = degrees / 2, below / 2
    term = total = 1 / shape
    for number in range(1, _MOST_TERMS):
        term *= x / (shape + number)
        total += term
        if term < total * 1e-17:
            break
    return total * math.exp(shape * math.log(x) - x - math.lgamma(shape))
