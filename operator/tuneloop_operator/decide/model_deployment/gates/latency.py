"""Time that both revisions take for the same request, as a ratio in fixed bins.

Each pair is answered on the same request, so its length and the load of the moment cancel out. The comparator counts the ratio canary/stable in the
bins of `EDGES`: 43 counters, whatever the traffic. The statistic is the median ratio, with exact limits from order statistics (the sign test;
Conover, Practical Nonparametric Statistics, 3.2): no assumption on the distribution, and a pause of a garbage collector or a cold cache
moves one pair by one rank. A mean or a p99 of each revision is moved by such pauses.

An edge stands at each usual margin, so bins lose nothing there; at another margin the limit is rounded to the side of Inconclusive.
A tail that gets slower while the median stays is found by `slower_pairs`: under equal models, "canary slower by the factor" and "stable slower by
the factor" are equally frequent, and `paired.paired_difference` compares the two.
"""

from __future__ import annotations

import functools
import itertools
import math
from bisect import bisect_left
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tuneloop_api.statistics.binomial import tail_at_least
from tuneloop_operator.decide.model_deployment.gates.evidence import Evidence, Missing
from tuneloop_operator.decide.model_deployment.gates.paired import PairedCounts
from tuneloop_operator.decide.model_deployment.gates.verdict import Verdict

if TYPE_CHECKING:
    from tuneloop_operator.decide.model_deployment.gates.evidence import Levels

_SLOWER = (
    0.01,
    0.02,
    0.03,
    0.05,
    0.075,
    0.1,
    0.15,
    0.2,
    0.25,
    0.3,
    0.4,
    0.5,
    0.75,
    1.0,
    1.5,
    2.0,
    3.0,
    4.0,
    6.0,
    9.0,
    19.0,
)
EDGES = (*(1 / (1 + edge) - 1 for edge in reversed(_SLOWER)), *_SLOWER)
"""Upper edges of the bins but the last, as harm: ratio − 1. A bin holds its upper edge, as a bucket of Prometheus does. Symmetric in log ratio."""


@dataclass(frozen=True, kw_only=True)
class RatioHistogram:
    """Pairs by their ratio of times: one count a bin, `len(EDGES) + 1` in all."""

    counts: tuple[int, ...]

    @property
    def pairs(self) -> int:
        """How many requests both have answered."""
        return sum(self.counts)


def bin_of(*, canary_seconds: float, stable_seconds: float) -> int:
    """Return the bin of one pair; both times are positive."""
    return bisect_left(EDGES, canary_seconds / stable_seconds - 1)


def median_ratio(histogram: RatioHistogram, *, levels: Levels) -> Evidence | Missing:
    """Return harm = median of canary time / stable time on the same request, minus 1."""
    if len(histogram.counts) != len(EDGES) + 1 or min(histogram.counts) < 0:
        return Missing(verdict=Verdict.ERROR, reason=f"the histogram of latency ratios has not {len(EDGES) + 1} counts")
    if histogram.pairs == 0:
        return Missing(verdict=Verdict.NO_DATA, reason="no request was answered by both")
    pairs, ranks = histogram.pairs, tuple(itertools.accumulate(histogram.counts))
    below, above = limit_rank(pairs, levels.fail), limit_rank(pairs, levels.promote)
    harm = _middle(ranks, (pairs + 1) // 2)
    return Evidence(
        harm=harm,
        low=_just_above(_lower_edge(ranks, below)) if below else -1.0,
        high=_upper_edge(ranks, pairs + 1 - above) if above else math.inf,
        canary=1 + harm,
        stable=1.0,
        sample=pairs,
        facts=f"canary takes {1 + harm:.2f} × stable's time on the same requests (median of {pairs})",
    )


def slower_pairs(histogram: RatioHistogram, *, edge: float) -> PairedCounts:
    """Return pairs in which the canary takes more than 1 + `edge` times as long, and the reverse; `edge` is one of `EDGES`, positive."""
    place = EDGES.index(edge)
    opposite = len(EDGES) - 1 - place
    return PairedCounts(
        rows=histogram.pairs,
        both_wrong=0,
        canary_only=sum(histogram.counts[place + 1 :]),
        stable_only=sum(histogram.counts[: opposite + 1]),
    )


@functools.lru_cache(maxsize=4096)
def limit_rank(pairs: int, level: float) -> int:
    """Return the greatest rank r with P(Binomial(pairs, ½) < r) ≤ level: the r-th smallest value is a lower limit of the median; 0 if there is none."""
    low, high = 0, pairs // 2 + 1
    while low < high:
        rank = (low + high + 1) // 2
        low, high = (rank, high) if 1 - tail_at_least(rank, pairs, 0.5) <= level else (low, rank - 1)
    return low


def _just_above(edge: float) -> float:
    """A bin does not hold its lower edge: every value in it is greater."""
    return math.nextafter(edge, math.inf)


def _lower_edge(ranks: tuple[int, ...], rank: int) -> float:
    place = bisect_left(ranks, rank)
    return EDGES[place - 1] if place else -1.0


def _upper_edge(ranks: tuple[int, ...], rank: int) -> float:
    place = bisect_left(ranks, rank)
    return EDGES[place] if place < len(EDGES) else math.inf


def _middle(ranks: tuple[int, ...], rank: int) -> float:
    """Return the value at a rank, on a line through its bin; an outer bin is its inner edge."""
    place = bisect_left(ranks, rank)
    if place in {0, len(EDGES)}:
        return EDGES[min(place, len(EDGES) - 1)]
    before = ranks[place - 1]
    part = (rank - before) / (ranks[place] - before)
    return EDGES[place - 1] + part * (EDGES[place] - EDGES[place - 1])
