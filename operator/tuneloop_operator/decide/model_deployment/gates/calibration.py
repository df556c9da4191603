"""Confidence against correctness on golden rows, for a canary that agrees in class and has lost its calibration.

The gap of a row = confidence in the predicted class − 1 if it is correct, else 0. Its mean is the calibration in the large: positive is
overconfident (Cox, Biometrika 45 (1958) 562–565; Van Calster et al., Journal of Clinical Epidemiology 74 (2016) 167–176).
Harm = |mean gap of the canary| − |mean gap of stable|: to lose confidence is as bad as to gain it.

The rows are the same, so the limits use the variance of the rows' differences; where both predict the same class, correctness cancels out and only
confidence is left. The six sums of `paired_sums.PairedSums` are all that a comparator keeps.

It does not find a canary whose confidences are wrong row by row and right on average; the gates of accuracy and agreement look at the classes.
"""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import TYPE_CHECKING

from tuneloop_operator.decide.model_deployment.gates.evidence import Evidence, Missing, percent
from tuneloop_operator.decide.model_deployment.gates.verdict import Verdict

if TYPE_CHECKING:
    from tuneloop_operator.decide.model_deployment.gates.evidence import Levels
    from tuneloop_operator.decide.model_deployment.gates.paired_sums import PairedSums

LEAST_ROWS = 50
"""The limits are those of a normal mean."""


def calibration_loss(sums: PairedSums, *, levels: Levels) -> Evidence | Missing:
    """Return harm = |mean gap of the canary| − |mean gap of stable|."""
    if not sums.are_finite:
        return Missing(verdict=Verdict.ERROR, reason="a confidence is not a number", sample=sums.rows)
    if sums.rows < LEAST_ROWS:
        return Missing(
            verdict=Verdict.NO_DATA,
            reason=f"{sums.rows} golden rows, at least {LEAST_ROWS} are needed",
            sample=sums.rows,
        )
    canary, stable = sums.canary / sums.rows, sums.stable / sums.rows
    return Evidence(
        harm=abs(canary) - abs(stable),
        low=_of_signs(sums, z=-NormalDist().inv_cdf(1 - levels.fail / 2)),
        high=_of_signs(sums, z=NormalDist().inv_cdf(1 - levels.promote / 2)),
        canary=canary,
        stable=stable,
        sample=sums.rows,
        facts=f"canary's confidence is off by {_signed(canary)}, stable's by {_signed(stable)} on the same {sums.rows} rows",
    )


def _of_signs(sums: PairedSums, *, z: float) -> float:
    """Return the limit of |C| − |S| = max over s of min over t of (s·C − t·S), s and t being signs.

    Two of the four limits can be crossed by chance at once, so each has half of the level.
    """
    return max(min(_limit(sums, s, t, z) for t in (1, -1)) for s in (1, -1))


def _limit(sums: PairedSums, s: int, t: int, z: float) -> float:
    """Return the limit of the mean of s · gap of the canary − t · gap of stable."""
    mean = (s * sums.canary - t * sums.stable) / sums.rows
    squares = sums.canary_squared + sums.stable_squared - 2 * s * t * sums.product
    variance = max(squares / sums.rows - mean * mean, 0.0) * sums.rows / (sums.rows - 1)
    return mean + z * math.sqrt(variance / sums.rows)


def _signed(gap: float) -> str:
    return f"{'+' if gap > 0 else ''}{percent(gap)}"
