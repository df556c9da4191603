"""Gates that Prometheus answers: queries in windows, and late labels while a promoted revision bakes. Part of `rollout_gates.py`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tuneloop_operator.decide.gate_query import IN_A_ROW
from tuneloop_operator.decide.model_deployment.feedback_gate import LOOKS, critical
from tuneloop_operator.decide.model_deployment.gates.verdict import Verdict
from tuneloop_operator.decide.model_deployment.query_readings import verdict_of

WINDOWS = 60
"""Of a minute each."""
REQUESTS = 120
"""Of each revision in a window."""
BASE_ERRORS = 0.003
BURST_ERRORS = 0.3
MARGIN = 0.01
RIGHT = 0.9


@dataclass(frozen=True)
class WatchedHours:
    """What a gate with a query found in hours, H of them."""

    minute: np.ndarray
    """[H] minute of the roll-back, 0: none."""
    passes: np.ndarray
    """[H] whether the gate would let a step of ten minutes end."""


def watched_hours(rng: np.random.Generator, *, hours: int, errors: float, bursts: int) -> WatchedHours:
    """errors: further errors of the canary, as a share; bursts: of half a minute at random times, in an hour."""
    share = np.full((hours, WINDOWS), BASE_ERRORS + errors)
    for _ in range(bursts):
        begin = rng.uniform(0, WINDOWS - 0.5, hours)
        window, rest = begin.astype(int), np.maximum(begin % 1 - 0.5, 0)
        row = np.arange(hours)
        share[row, window] += (0.5 - rest) * BURST_ERRORS
        share[row, np.minimum(window + 1, WINDOWS - 1)] += rest * BURST_ERRORS
    canary = rng.binomial(REQUESTS, np.minimum(share, 1))
    stable = rng.binomial(REQUESTS, BASE_ERRORS, (hours, WINDOWS))
    harm = (canary - stable) / REQUESTS
    minute, passes = np.zeros(hours, dtype=int), np.zeros(hours, dtype=bool)
    for place, harms in enumerate(harm.tolist()):
        found = [verdict_of(harms[end - IN_A_ROW : end], margin=MARGIN) for end in range(IN_A_ROW, WINDOWS + 1)]
        minute[place] = found.index(Verdict.FAIL) + IN_A_ROW if Verdict.FAIL in found else 0
        passes[place] = found[10 - IN_A_ROW] is Verdict.PASS
    return WatchedHours(minute, passes)


def bakings(rng: np.random.Generator, *, count: int, labels: int, margin: float, worse: float) -> np.ndarray:
    """Return the day on which each of `count` promoted revisions is taken back, 0 for none. labels: of a day, of each revision; worse: fewer right answers, as a share.

    The limits are those of the gate's query: Wilson's, joined by Newcombe's method 10.
    """
    z, day_of = critical(0.05), np.zeros(count, dtype=int)
    right, before = np.zeros(count), np.zeros(count)
    for day in range(1, LOOKS + 1):
        right += rng.binomial(labels, RIGHT - worse, count)
        before += rng.binomial(labels, RIGHT, count)
        harm = (before - right) / (day * labels)
        most, least = _wilson(right, day * labels, z=z), _wilson(before, day * labels, z=-z)
        low = harm - np.hypot(most - right / (day * labels), before / (day * labels) - least)
        day_of = np.where((day_of == 0) & (low > margin), day, day_of)
    return day_of


def _wilson(right: np.ndarray, labels: int, *, z: float) -> np.ndarray:
    """Return Wilson's limit of a share: the upper one for a positive z."""
    spread = np.sqrt(right * (labels - right) / labels + z * z / 4)
    return (right + z * z / 2 + z * spread) / (labels + z * z)
