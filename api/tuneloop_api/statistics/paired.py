"""The difference of two shares of 0/1 outcomes on the same rows, with its limits.

Difference = (rows where only the first has the event − rows where only the second has the event) / rows. Rows on which both agree say that the difference is small.

The limits join the exact limits of the two discordant shares, by Clopper and Pearson, with their multinomial correlation (MOVER: Newcombe, Statistics in
Medicine 17 (1998) 2635–2650; Zou and Donner, Statistics in Medicine 27 (2008) 1693–1702). Tango's score interval (Statistics in Medicine 17 (1998) 891–908) was measured next to it:
its upper limit is as good, but its lower limit is wrong up to 1.6 times as often as the level says where the second is nearly never alone (docs/results.md).
"""

from __future__ import annotations

import math

from tuneloop_api.statistics.binomial import lower_limit, upper_limit

LEAST_DISCORDANT = 5
"""Rows on which exactly one of the two has the event. Fewer never prove that one of them is worse."""


def lower_limit_of_difference(first_only: int, second_only: int, rows: int, level: float) -> float:
    """Return the one-sided lower limit of the difference. rows: at least one. level: the most probability that the difference is below it."""
    p, q = first_only / rows, second_only / rows
    of_first, of_second = p - lower_limit(first_only, rows, level), upper_limit(second_only, rows, level) - q
    # the two shares of one multinomial are correlated by −√(odds · odds)
    correlation = math.sqrt(p * q / ((1 - p) * (1 - q))) if p < 1 and q < 1 else 0.0
    return p - q - math.sqrt(of_first**2 + of_second**2 + 2 * correlation * of_first * of_second)


def upper_limit_of_difference(first_only: int, second_only: int, rows: int, level: float) -> float:
    """Return the one-sided upper limit of the difference: the lower limit with the two swapped."""
    return -lower_limit_of_difference(second_only, first_only, rows, level)
