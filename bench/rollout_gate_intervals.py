"""Intervals of a difference side by side: how often each is wrong at the margin, exactly, by summing over all counts. Part of `rollout_gates.py`."""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

from tuneloop_operator.decide.model_deployment.gates.evidence import Levels
from tuneloop_operator.decide.model_deployment.gates.paired import LEAST_DISCORDANT, PairedCounts, paired_difference
from tuneloop_operator.decide.model_deployment.gates.proportions import Share, difference

if TYPE_CHECKING:
    from collections.abc import Iterator

NEGLIGIBLE = 1e-9
"""Counts of less probability are left out."""


def tables() -> Iterator[str]:
    """Yield the lines of both tables."""
    yield "| requests of canary, stable | stable's errors | margin | level of a look | Newcombe (Wilson's limits) | Miettinen–Nurminen | exact limits (chosen) |"
    yield "|---|---|---|---|---|---|---|"
    for canary, stable, base, margin in (
        (200, 3800, 0.003, 0.01),
        (1000, 19000, 0.001, 0.005),
        (1000, 19000, 0.003, 0.01),
        (1000, 3000, 0.01, 0.01),
        (1000, 1000, 0.05, 0.02),
    ):
        for level in (0.05, 0.0033):
            cells = " | ".join(
                f"{fail:.2f}, {passed:.2f}" for fail, passed in of_difference(canary, stable, base, margin, level)
            )
            yield f"| {canary:,}, {stable:,} | {100 * base:g} % | {100 * margin:g} | {level} | {cells} |"
    yield ""
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


def of_difference(canary: int, stable: int, base: float, margin: float, level: float) -> Iterator[tuple[float, float]]:
    """Yield for each method P(Fail) / level and P(Pass) / level where the canary's share is base + margin."""
    worse, events = likely(canary, base + margin), likely(stable, base)
    chance = mass(worse, canary, base + margin)[:, None] * mass(events, stable, base)[None]
    x, y = np.meshgrid(worse, events, indexing="ij")
    low, high = newcombe(x, canary, y, stable, level)
    yield chance[low > margin].sum() / level, chance[high <= margin].sum() / level
    z, score = NormalDist().inv_cdf(1 - level), miettinen_nurminen(x, canary, y, stable, margin)
    yield chance[score > z].sum() / level, chance[score <= -z].sum() / level
    levels = Levels(fail=level, promote=level)
    found = [
        difference(
            "errors",
            canary=Share(events=int(a), trials=canary),
            stable=Share(events=int(b), trials=stable),
            levels=levels,
        )
        for a, b in zip(x.flat, y.flat, strict=True)
    ]
    yield (
        chance.flat[[place for place, evidence in enumerate(found) if evidence.low > margin]].sum() / level,
        chance.flat[[place for place, evidence in enumerate(found) if evidence.high <= margin]].sum() / level,
    )


def of_pairs(rows: int, better: float, margin: float, level: float) -> Iterator[tuple[float, float]]:
    """Yield for Tango's interval and ours the same, where only the canary is wrong on better + margin of the rows."""
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


def wilson(events: np.ndarray, trials: int, z: float) -> tuple[np.ndarray, np.ndarray]:
    """Return Wilson's limits (1927) of a share."""
    share = events / trials
    middle, half = (
        share + z * z / (2 * trials),
        z * np.sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials)),
    )
    return (middle - half) / (1 + z * z / trials), (middle + half) / (1 + z * z / trials)


def newcombe(x: np.ndarray, n: int, y: np.ndarray, m: int, level: float) -> tuple[np.ndarray, np.ndarray]:
    """Return Newcombe's hybrid score limits (1998, method 10) of x/n − y/m."""
    z = NormalDist().inv_cdf(1 - level)
    (low, high), (other_low, other_high) = wilson(x, n, z), wilson(y, m, z)
    return x / n - y / m - np.hypot(x / n - low, other_high - y / m), x / n - y / m + np.hypot(
        high - x / n, y / m - other_low
    )


def miettinen_nurminen(x: np.ndarray, n: int, y: np.ndarray, m: int, margin: float) -> np.ndarray:
    """Return the score statistic of x/n − y/m = margin (Miettinen and Nurminen 1985), with Farrington and Manning's closed form (1990)."""
    p, q, ratio = x / n, y / m, m / n
    a, d = 1 + ratio, -p * margin * (1 + margin)
    b = -(1 + ratio + p + ratio * q + margin * (ratio + 2))
    c = margin * margin + margin * (2 * p + ratio + 1) + p + ratio * q
    v = (b / (3 * a)) ** 3 - b * c / (6 * a * a) + d / (2 * a)
    u = np.where(v < 0, -1.0, 1.0) * np.sqrt(np.maximum((b / (3 * a)) ** 2 - c / (3 * a), 1e-30))
    angle = (math.pi + np.arccos(np.clip(v / u**3, -1, 1))) / 3
    first = np.clip(2 * u * np.cos(angle) - b / (3 * a), margin, 1)
    second = np.clip(first - margin, 0, 1)
    variance = (first * (1 - first) / n + second * (1 - second) / m) * (n + m) / (n + m - 1)
    return (p - q - margin) / np.sqrt(np.maximum(variance, 1e-30))


def tango(x: np.ndarray, y: np.ndarray, rows: int, margin: float) -> np.ndarray:
    """Return the score statistic of (x − y) / rows = margin (Tango 1998)."""
    a, b, c = 2 * rows, -x - y + (2 * rows - x + y) * margin, -y * margin * (1 - margin)
    nuisance = (np.sqrt(np.maximum(b * b - 4 * a * c, 0)) - b) / (2 * a)
    return (x - y - rows * margin) / np.sqrt(np.maximum(rows * (2 * nuisance + margin * (1 - margin)), 1e-30))
