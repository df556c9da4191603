"""95 % intervals by the percentile bootstrap (Efron and Tibshirani 1993, chapter 13): rows are drawn with replacement, seeded.

What depends on the rows only through counts (a confusion matrix, who was right) is drawn as counts: the counts of N rows drawn with
replacement are multinomial, so this is the same bootstrap without touching a row. Where every row agrees the interval has no width.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

import numpy as np

from tuneloop_trainer.evaluation.metrics import auroc

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from tuneloop_trainer.evaluation.metrics import Floats, Integers

TAILS = (2.5, 97.5)
CHUNK = 4_000_000
"""Numbers drawn at a time: bounds memory to some 100 MiB whatever the number of rows."""


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A value, and the ends of its 95 % interval; the ends are None where no resample had a value."""

    value: float
    low: float | None
    high: float | None


@dataclass(frozen=True, kw_only=True)
class Bootstrap:
    """How often to resample, and from which seed."""

    resamples: int
    seed: int = 42

    def of_confusion(self, confusion: Integers, statistic: Callable[[NDArray[Any]], Floats]) -> Interval:
        """Return the interval of a statistic that takes confusion matrices [..., C, C] and returns [...]."""
        drawn = [statistic(counts.reshape(-1, *confusion.shape)) for counts in self._counts(confusion.ravel())]
        return _percentiles(statistic(confusion), np.concatenate(drawn))

    def of_sums(self, rows: NDArray[Any], statistic: Callable[[NDArray[Any]], Floats]) -> Interval:
        """Return the interval of a statistic that depends on the rows only through sums.

        rows: [N, K], what each row adds to the sums. statistic: takes sums [..., K] and returns [...]. A row is drawn with all that
        belongs to it, such as a sentence with all its words (cluster bootstrap).
        """
        kinds, counts = np.unique(rows, axis=0, return_counts=True)
        drawn = [statistic(times @ kinds) for times in self._counts(counts)]
        return _percentiles(statistic(rows.sum(axis=0)), np.concatenate(drawn))

    def bca_of_sums(
        self, rows: NDArray[Any], statistic: Callable[[NDArray[Any]], Floats], *, level: float
    ) -> tuple[float, float] | tuple[None, None]:
        """Return the one-sided lower and upper BCa limits of a statistic of sums, as in `of_sums`; None where every resample has the same value.

        level: the most probability that one of them is on the wrong side. Source: Efron and Tibshirani 1993, chapter 14.3.
        """
        kinds, counts = np.unique(rows, axis=0, return_counts=True)
        value, total = float(statistic(rows.sum(axis=0))), rows.sum(axis=0)
        drawn = np.concatenate([statistic(times @ kinds) for times in self._counts(counts)])
        if drawn.min() == drawn.max():
            return None, None
        below = ((drawn < value).mean() + (drawn <= value).mean()) / 2
        without = statistic(total - kinds)  # each kind of row left out once
        distances = np.average(without, weights=counts) - without
        spread = float((counts * distances**2).sum())
        if not 0 < below < 1 or spread == 0:
            return None, None
        acceleration = float((counts * distances**3).sum()) / (6 * spread**1.5)
        normal, bias = NormalDist(), NormalDist().inv_cdf(float(below))
        shares = []
        for quantile in (normal.inv_cdf(level), normal.inv_cdf(1 - level)):
            moved = bias + quantile
            shares.append(normal.cdf(bias + moved / (1 - acceleration * moved)))
        low, high = np.quantile(drawn, shares)
        return float(low), float(high)

    def of_mean(self, values: NDArray[Any]) -> Interval:
        """Return the interval of the mean of one value per row."""
        means = [values[rows].mean(axis=1) for rows in self._rows(len(values))]
        return _percentiles(values.mean(), np.concatenate(means))

    def of_rows(self, count: int, statistic: Callable[[Integers], Floats]) -> Interval:
        """Return the interval of a statistic that no sum gives, such as one of ranks. statistic: takes row numbers [..., N] and returns [...]."""
        drawn = [statistic(rows) for rows in self._rows(count)]
        return _percentiles(statistic(np.arange(count)), np.concatenate(drawn))

    def of_auroc(self, scores: NDArray[Any], labels: Integers) -> Interval:
        """Return the interval of the AUROC; resamples with one class only have none and are left out."""
        count = len(scores)
        areas = [auroc(scores, labels, _weights(rows, count)) for rows in self._rows(count)]
        return _percentiles(auroc(scores, labels), np.concatenate(areas))

    def of_accuracy_difference(self, right: NDArray[np.bool_], other_right: NDArray[np.bool_]) -> Interval:
        """Return accuracy minus the other's accuracy, both on the same rows, which are drawn together."""
        gains = right.astype(np.int64) - other_right.astype(np.int64)
        counts = np.bincount(gains + 1, minlength=3)
        drawn = np.concatenate(list(self._counts(counts)))
        return _percentiles(gains.mean(), (drawn[:, 2] - drawn[:, 0]) / len(gains))

    def _counts(self, counts: Integers) -> Iterator[Integers]:
        """Yield int64 [b, K] of b resamples at a time, `resamples` in all: how many of N rows fall into each of K kinds.

        Kinds that no row is of are not drawn: of a confusion matrix of many classes they are nearly all.
        """
        generator, rows, there = np.random.default_rng(self.seed), int(counts.sum()), np.flatnonzero(counts)
        at_once = max(1, CHUNK // len(counts))
        for start in range(0, self.resamples, at_once):
            drawn = np.zeros((min(at_once, self.resamples - start), len(counts)), dtype=np.int64)
            drawn[:, there] = generator.multinomial(rows, counts[there] / rows, size=len(drawn))
            yield drawn

    def _rows(self, count: int) -> Iterator[Integers]:
        """Yield row numbers [b, N] of b resamples at a time, `resamples` in all."""
        generator = np.random.default_rng(self.seed)
        at_once = max(1, CHUNK // count)
        for start in range(0, self.resamples, at_once):
            yield generator.integers(0, count, size=(min(at_once, self.resamples - start), count))


def _weights(rows: Integers, count: int) -> Integers:
    """Return int64 [b, N]: how often each row was drawn."""
    offsets = np.arange(len(rows))[:, None] * count
    return np.bincount((rows + offsets).ravel(), minlength=rows.size).reshape(rows.shape)


def _percentiles(value: Any, drawn: Floats) -> Interval:
    drawn = drawn[~np.isnan(drawn)]
    if not len(drawn):
        return Interval(value=float(value), low=None, high=None)
    low, high = np.percentile(drawn, TAILS)
    return Interval(value=float(value), low=float(low), high=float(high))
