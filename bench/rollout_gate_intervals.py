"""Intervals of a difference on the same rows, side by side: how often each is wrong at the margin, exactly, by summing over all counts. Part of `rollout_gates.py`."""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

from tuneloop_api.statistics.paired import LEAST_DISCORDANT
from tuneloop_operator.decide.model_deployment.gates.evidence import Levels
from tuneloop_operator.decide.model_deployment.gates.paired import PairedCounts, paired_difference

if TYPE_CHECKING:
    from collections.abc import Iterator

NEGLIGIBLE = 1e-9
"""Counts of less probability are left out."""


def tables() -> Iterator[str]:
    """Yield the lines of the table."""
    yield "| golden rows | only stable wrong | margin | level of a look | Tango | exact limits (chosen) |"
    yield "|---|---|---|---|---|---|"
    for rows, better, margin in (
        (500, 0.002, 0.03),
        (500, 0.03, 0.03),
        (1000, 0.03, 0.03),
        (2000, 0.0, 0.01),
        (2000, 0.002, 0.01),
    ):
        for level in (0.05, 0.0033):
            cells = " | ".join(f"{fail:.2f}, {passed:.2f}" for fail, passed in of_pairs(rows, better, margin, level))
            yield f"| {rows:,} | {100 * better:g} % | {100 * margin:g} | {level} | {cells} |"


def of_pairs(rows: int, better: float, margin: float, level: float) -> Iterator[tuple[float, float]]:
    """Yield for Tango's interval and ours P(Fail) / level and P(Pass) / level, where only the canary is wrong on better + margin of the rows."""
    worse = likely(rows, better + margin)
    events = likely(rows, better) if better else np.zeros(1)
    x, y = np.meshgrid(worse, events, indexing="ij")
    chance = mass(x, rows, better + margin) * (mass(y, rows - x, better / (1 - better - margin)) if better else 1.0)
    z, score = NormalDist().inv_cdf(1 - level), tango(x, y, rows, margin)
    yield chance[score > z].sum() / level, chance[score <= -z].sum() / level
    levels = Levels(fail=level, promote=level)
    counts = [
        PairedCounts(rows=rows, both_wrong=0, canary_only=int(a), stable_only=int(b))
        for a, b in zip(x.flat, y.flat, strict=True)
    ]
    found = [paired_difference("wrong answers", count, levels=levels) for count in counts]
    fails = [
        place
        for place, evidence in enumerate(found)
        if evidence.low > margin and counts[place].discordant >= LEAST_DISCORDANT
    ]
    passes = [place for place, evidence in enumerate(found) if evidence.high <= margin]
    yield chance.flat[fails].sum() / level, chance.flat[passes].sum() / level


LOG_FACTORIAL = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, 200_001)))])


def mass(events: np.ndarray, trials: np.ndarray | int, share: float) -> np.ndarray:
    """Return the binomial probabilities."""
    events, trials = np.asarray(events, dtype=int), np.asarray(trials, dtype=int)
    ways = LOG_FACTORIAL[trials] - LOG_FACTORIAL[events] - LOG_FACTORIAL[trials - events]
    return np.exp(ways + events * math.log(share) + (trials - events) * math.log1p(-share))


def likely(trials: int, share: float) -> np.ndarray:
    """Return the counts that are not negligible."""
    counts = np.arange(trials + 1)
    return counts[mass(counts, trials, share) > NEGLIGIBLE]


def tango(x: np.ndarray, y: np.ndarray, rows: int, margin: float) -> np.ndarray:
    """Return the score statistic of (x − y) / rows = margin (Tango 1998)."""
    a, b, c = 2 * rows, -x - y + (2 * rows - x + y) * margin, -y * margin * (1 - margin)
    nuisance = (np.sqrt(np.maximum(b * b - 4 * a * c, 0)) - b) / (2 * a)
    return (x - y - rows * margin) / np.sqrt(np.maximum(rows * (2 * nuisance + margin * (1 - margin)), 1e-30))
