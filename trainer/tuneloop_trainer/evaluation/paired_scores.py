"""The gain of one model over another on the same rows, with one-sided limits.

Rows of one right or wrong answer each have exact limits. Where a row counts more (spans), or rows belong together (groups), whole groups are drawn: limits by the
bias-corrected and accelerated bootstrap (BCa; Efron and Tibshirani 1993, chapter 14). It has none where all groups have the same gain: there limits say how many
groups of another kind there may be that did not come (Clopper and Pearson, Biometrika 26 (1934) 404–413).

Shapes: N = rows of the set, n = rows of a slice, K = sums that the metric is made of.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from tuneloop_api.statistics.challenger import Gain, gain_of_pairs

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from tuneloop_trainer.evaluation.intervals import Bootstrap
    from tuneloop_trainer.evaluation.metrics import Floats, Integers

Method = Literal["paired-exact", "clustered-bca"]


@dataclass(frozen=True, kw_only=True)
class PairedScores:
    """What each row adds to a metric of both models."""

    name: str | None
    """Of the slice: a class, or a type of spans; None: all rows."""
    rows: Integers
    """[n] indexes of the rows in the set."""
    challenger: NDArray[Any]
    """[n, K] what the challenger's answer adds to the sums."""
    champion: NDArray[Any]
    statistic: Callable[[NDArray[Any]], Floats]
    """Sums [..., K] → the metric, [...]."""
    errors: Callable[[NDArray[Any]], NDArray[Any]]
    """Sums [..., K] → how many errors they hold, or how large these are, [...]."""
    zero_one: bool
    """Whether a row is one answer, right or wrong, and the metric the share of right ones."""
    is_falling: bool = False
    """Whether the metric is the better the lower it is."""

    def gain(self, challenger: NDArray[Any], champion: NDArray[Any]) -> Floats:
        """Return by how much the metric of the challenger's sums is better, [...]."""
        difference = self.statistic(challenger) - self.statistic(champion)
        return -difference if self.is_falling else difference


@dataclass(frozen=True, kw_only=True)
class PairedResult:
    """The metric of both models, and their difference."""

    challenger: float
    champion: float
    challenger_only: int
    """Rows, or groups, on which the challenger has fewer errors."""
    champion_only: int
    gain: Gain
    method: Method


def compare_scores(
    scores: PairedScores, *, groups: Integers | None, bootstrap: Bootstrap, level: float
) -> PairedResult:
    """Return the gain of the challenger. groups: [N] the group of each row of the set, None: rows do not belong together. level: of each limit."""
    both = np.stack([scores.challenger, scores.champion], axis=1)
    if groups is not None:
        both = _summed_by_group(both, groups[scores.rows])
    errors = scores.errors(both)
    challenger_only, champion_only = int((errors[:, 0] < errors[:, 1]).sum()), int((errors[:, 0] > errors[:, 1]).sum())
    sums = both.sum(axis=0)
    challenger, champion = (float(scores.statistic(sums[model])) for model in (0, 1))
    is_exact = scores.zero_one and len(both) == len(scores.rows)
    if is_exact:
        gain = gain_of_pairs(challenger_only, champion_only, len(both), level=level)
    else:
        low, high = _limits(scores, both, bootstrap=bootstrap, level=level)
        discordant = int((both[:, 0] != both[:, 1]).any(axis=1).sum())
        # groups that all agree have limits of their own, which hold for any number of them
        value = float(scores.gain(*sums))
        gain = Gain(value=value, low=low, high=high, discordant=discordant, is_exact=discordant == 0)
    return PairedResult(
        challenger=challenger,
        champion=champion,
        challenger_only=challenger_only,
        champion_only=champion_only,
        gain=gain,
        method="paired-exact" if is_exact else "clustered-bca",
    )


def _limits(
    scores: PairedScores, both: NDArray[Any], *, bootstrap: Bootstrap, level: float
) -> tuple[float, float] | tuple[None, None]:
    """Return the limits of the gain on groups of rows, [groups, 2, K]."""

    def gain(sums: NDArray[Any]) -> Floats:
        return scores.gain(_of(sums, both, 0), _of(sums, both, 1))

    rows = both.reshape(len(both), -1)
    limits = bootstrap.bca_of_sums(rows, gain, level=level)
    gains = gain(rows)
    if limits == (None, None) and gains.min() == gains.max():
        return _limits_of_agreement(float(gains[0]), groups=len(rows), level=level)
    return limits


def _limits_of_agreement(gain: float, *, groups: int, level: float) -> tuple[float, float]:
    """Return the limits where every group has this gain, in [-1, 1]: groups that did not come have a share of at most 1 − level^(1 / groups), and any gain."""
    absent = 1.0 - level ** (1.0 / groups)
    return gain - absent * (gain + 1.0), gain + absent * (1.0 - gain)


def _of(sums: NDArray[Any], both: NDArray[Any], model: int) -> NDArray[Any]:
    """Return the sums of one model, [..., K], of those of both, [..., 2 K]."""
    width = both.shape[2]
    return sums[..., model * width : (model + 1) * width]


def _summed_by_group(both: NDArray[Any], groups: Integers) -> NDArray[Any]:
    _, number = np.unique(groups, return_inverse=True)
    summed = np.zeros((int(number.max(initial=-1)) + 1, *both.shape[1:]), dtype=both.dtype)
    np.add.at(summed, number, both)
    return summed
