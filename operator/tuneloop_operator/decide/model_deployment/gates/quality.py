"""Generated answers against the references of golden rows: how alike they are, from 0 to 1, of both revisions on the same rows.

Harm = mean similarity of stable's answers to the references − that of the canary's. A row that a revision does not answer has a similarity of 0.

The limits are those of a normal mean of the rows' differences, with one row more that is as far on the wrong side as a row can be. Without this row
fifty equal answers would have no variance, and prove that no answer differs; with it they show a harm of up to 5 points, as the exact limits of
fifty rows without an event do. Simulated in docs/results.md.
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
_ROUNDING = 1e-6
"""Of a sum of some thousand floats."""


def quality_loss(sums: PairedSums, *, levels: Levels) -> Evidence | Missing:
    """Return harm = mean similarity to the references of stable − that of the canary."""
    if not sums.are_finite:
        return Missing(verdict=Verdict.ERROR, reason="a similarity is not a number", sample=sums.rows)
    if not _are_similarities(sums):
        return Missing(
            verdict=Verdict.ERROR,
            reason=f"the sums of {sums.rows} similarities make no sense: each is from 0 to 1",
            sample=sums.rows,
        )
    if sums.rows < LEAST_ROWS:
        return Missing(
            verdict=Verdict.NO_DATA,
            reason=f"{sums.rows} golden rows have a reference, at least {LEAST_ROWS} are needed",
            sample=sums.rows,
        )
    canary, stable = sums.canary / sums.rows, sums.stable / sums.rows
    return Evidence(
        harm=stable - canary,
        low=limit_of_mean(sums, worst=-1, z=-NormalDist().inv_cdf(1 - levels.fail)),
        high=limit_of_mean(sums, worst=1, z=NormalDist().inv_cdf(1 - levels.promote)),
        canary=canary,
        stable=stable,
        sample=sums.rows,
        facts=f"canary's answers are {percent(canary)} like the references, stable's {percent(stable)} on the same {sums.rows} rows",
    )


def limit_of_mean(sums: PairedSums, *, worst: int, z: float) -> float:
    """Return a limit of the mean of stable − canary. worst: 1 or −1, the difference of the row that is added. z: of the normal distribution."""
    rows = sums.rows + 1
    mean = (sums.stable - sums.canary + worst) / rows
    squares = sums.stable_squared + sums.canary_squared - 2 * sums.product + 1
    variance = max(squares / rows - mean * mean, 0.0)
    return mean + z * math.sqrt(variance / sums.rows)


def _are_similarities(sums: PairedSums) -> bool:
    """Tell whether these can be sums of numbers from 0 to 1: the square of such a number is no greater than the number, nor is a product with another one."""
    slack = _ROUNDING * max(sums.rows, 1)
    pairs = ((sums.canary, sums.canary_squared), (sums.stable, sums.stable_squared))
    return sums.rows >= 0 and all(
        -slack <= squared <= total + slack and total <= sums.rows + slack and -slack <= sums.product <= total + slack
        for total, squared in pairs
    )
