"""Levels, limits of shares, and what they can find: the statistics of triggers. Pure.

A trigger looks once a day, at the level 1/D for D = `expectedDaysBetweenFalseTriggers`. So a model that has not changed has one false look in D days on
average, whatever looks have to do with one another; that several in a row are asked for makes false alarms rarer still.
"""

from __future__ import annotations

import math
from statistics import NormalDist

from tuneloop_api.statistics.binomial import lower_limit, upper_limit

DEFAULT_DAYS = 365
FEATURE_INFLATION = 4.0
"""By how much the requests of one user are alike: so many requests say as much as one of another user. Their texts have one language, one topic, one length."""
LABEL_INFLATION = 2.0
"""The same of labels. Whether answers are right differs less between users than what they ask."""
_POWER = 0.8


def level(days: int | None, *, tests: int = 1) -> float:
    """Return the probability with which one of so many tests of a look may be wrong. days: between false alarms; None: the default."""
    return min(0.5, 1 / ((days or DEFAULT_DAYS) * tests))


def deviations(days: int | None, *, tests: int = 1) -> float:
    """Return how many standard deviations a level is from the mean of a normal distribution, on one side."""
    return NormalDist().inv_cdf(1 - level(days, tests=tests))


def least_loss(before: tuple[int, int], now: tuple[int, int], level_: float) -> float:
    """Return the lower limit of the share before − the share now, each as (right, labels).

    The limits of the two shares are exact ones, joined by Newcombe's method 10 (Statistics in Medicine 17 (1998) 873–890).
    """
    share_before, share_now = before[0] / before[1], now[0] / now[1]
    below = share_before - lower_limit(*before, level_)
    above = upper_limit(*now, level_) - share_now
    return share_before - share_now - math.hypot(below, above)


def labels_needed(*, below: float, accuracy: float, days: int | None = None) -> int:
    """Return how many labels find, with 80 % on one day, that an accuracy of `accuracy` is below `below`.

    n = inflation · ((z · √(b (1 − b)) + 0.84 · √(a (1 − a))) / (b − a))², with the normal approximation. accuracy < below.
    """
    spread = deviations(days) * math.sqrt(below * (1 - below))
    spread += NormalDist().inv_cdf(_POWER) * math.sqrt(accuracy * (1 - accuracy))
    return math.ceil(LABEL_INFLATION * (spread / (below - accuracy)) ** 2)
