"""Exact binomial tails and limits, without scipy.

The tail is the regularised incomplete beta function, P(X ≥ k) = I_p(k, n − k + 1) (DLMF 8.17.5), by the continued fraction of DLMF 8.17.22 with
Lentz's method. The limits are those of Clopper and Pearson, Biometrika 26 (1934) 404–413.
"""

from __future__ import annotations

import functools
import math

_TINY = 1e-300
_PRECISION = 1e-14
_CLOSE = 1e-10
"""Relative: where Newton's steps end. The logarithms of the gamma function are good to about this for a million trials."""
_MOST_TERMS = 100_000
_MOST_STEPS = 200


def tail_at_least(events: int, trials: int, share: float) -> float:
    """Return P(X ≥ events) for X ~ Binomial(trials, share)."""
    if events <= 0 or share >= 1:
        return 1.0 if events <= trials else 0.0
    if events > trials or share <= 0:
        return 0.0
    return _incomplete_beta(float(events), float(trials - events + 1), share)


@functools.lru_cache(maxsize=16384)  # stable's counts stay while the canary's are tried, in `power` as in simulations
def lower_limit(events: int, trials: int, level: float) -> float:
    """Return the one-sided lower limit of the share: the share with P(X ≥ events) = level; 0 without events."""
    if events == 0:
        return 0.0
    return _share_with_tail(events, trials, level)


def upper_limit(events: int, trials: int, level: float) -> float:
    """Return the one-sided upper limit of the share: the share with P(X ≤ events) = level; 1 if every trial is an event."""
    return 1.0 - lower_limit(trials - events, trials, level)


def _share_with_tail(events: int, trials: int, level: float) -> float:
    """Return the share with P(X ≥ events) = level: Newton's steps, kept inside a bracket that shrinks. The tail grows with the share."""
    low, high = 0.0, 1.0
    share = events / (trials + 1)
    for _ in range(_MOST_STEPS):
        tail = tail_at_least(events, trials, share)
        low, high = (share, high) if tail < level else (low, share)
        slope = math.exp(_log_density(float(events), float(trials - events + 1), share))
        step = share - (tail - level) / slope if slope > 0 else low
        following = step if low < step < high else (low + high) / 2
        if abs(following - share) <= _CLOSE * share:
            return following
        share = following
    return share


def _log_density(a: float, b: float, x: float) -> float:
    """Return the logarithm of the density of Beta(a, b) at 0 < x < 1."""
    return _log_front(a, b, x) - math.log(x) - math.log1p(-x)


def _log_front(a: float, b: float, x: float) -> float:
    """Return log(x^a (1 − x)^b / B(a, b))."""
    return math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)


def _incomplete_beta(a: float, b: float, x: float) -> float:
    """Return I_x(a, b); the side on which the continued fraction converges fast."""
    front = math.exp(_log_front(a, b, x))
    if x < (a + 1) / (a + b + 2):
        return front * _continued_fraction(a, b, x) / a
    return 1.0 - front * _continued_fraction(b, a, 1.0 - x) / b


def _continued_fraction(a: float, b: float, x: float) -> float:
    """Return the continued fraction of I_x(a, b) without its front factor; Lentz's method, as in Numerical Recipes 6.4."""
    c, d = 1.0, 1.0 / _away_from_zero(1.0 - (a + b) * x / (a + 1))
    value = d
    for m in range(1, _MOST_TERMS):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        for term in (even, odd):
            d = 1.0 / _away_from_zero(1.0 + term * d)
            c = _away_from_zero(1.0 + term / c)
            value *= c * d
        if abs(c * d - 1.0) < _PRECISION:
            break
    return value


def _away_from_zero(value: float) -> float:
    return value if abs(value) > _TINY else _TINY
