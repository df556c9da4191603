"""A batching server under clients that send their next text once the last text was answered. Counts tokens and passes; needs no clock, no model.

A pass over n texts takes `PASS` + n x (longest text) tokens, and each text `REQUEST` tokens for HTTP, JSON and its tokens. The texts of
clients that a pass answers arrive during the next pass, or begin that pass if no other text waits. One token of MiniLM takes 0.1 ms of an idle core.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Policy = Callable[[Sequence[int], int], Sequence[int]]
    """Lengths of the waiting texts, oldest first, and the largest batch → indices of the texts of the next pass."""

PASS = 40
REQUEST = 12
BATCH = 16


@dataclass(frozen=True, slots=True)
class Text:
    """A text that waits."""

    length: int
    sent: float
    """Tokens that were computed before."""
    passes: int
    """Passes that were run before."""


@dataclass(frozen=True, kw_only=True)
class Figures:
    """What clients saw of a server. Times are in tokens."""

    rate: float
    """Texts per token."""
    p50: float
    p99: float
    most_passes: int
    """That a text waited for, before its own."""


def closed_loop(
    policy: Policy, lengths: Sequence[int], *, clients: int, texts: int = 2500, seed: int = 0, fixed: int = PASS
) -> Figures:
    """Return the figures of so many answers. lengths: clients draw from them. fixed: cost of a pass, in tokens."""
    draws = random.Random(seed)
    first = [Text(draws.choice(lengths), 0.0, 0) for _ in range(clients)]
    waiting, arriving = first[: max(clients // 2, 1)], first[max(clients // 2, 1) :]
    now, passes = 0.0, 0
    times: list[float] = []
    waits: list[int] = []
    while len(times) < texts:
        chosen = set(policy([text.length for text in waiting], BATCH))
        batch = [text for index, text in enumerate(waiting) if index in chosen]
        waiting = [text for index, text in enumerate(waiting) if index not in chosen] + arriving
        now += fixed + len(batch) * (max(text.length for text in batch) + REQUEST)
        waits += [passes - text.passes for text in batch]
        passes += 1
        times += [now - text.sent for text in batch]
        arriving = [Text(draws.choice(lengths), now, passes) for _ in batch]
        if not waiting:
            waiting, arriving = arriving, []
    ordered = sorted(times)
    return Figures(
        rate=len(times) / now, p50=ordered[len(times) // 2], p99=ordered[len(times) * 99 // 100], most_passes=max(waits)
    )


def in_order(lengths: Sequence[int], most: int) -> Sequence[int]:
    """Take texts in order of arrival."""
    return range(min(len(lengths), most))


def cheapest(lengths: Sequence[int], most: int, *, batches: int = 3) -> Sequence[int]:
    """Take the part with the oldest text of the division of the oldest texts, so many batches' worth, that computes the fewest tokens."""
    considered = lengths[: batches * most]
    order = sorted(range(len(considered)), key=considered.__getitem__)
    best: list[tuple[int, tuple[int, ...]]] = [(0, (0,))]  # cost and borders, for the first n texts by length
    for end, index in enumerate(order, start=1):
        candidates = (
            (best[start][0] + PASS + (end - start) * considered[index], (*best[start][1], end))
            for start in range(max(0, end - most), end)
        )
        best.append(min(candidates))
    parts = [order[start:end] for start, end in pairwise(best[-1][1])]
    return next(part for part in parts if 0 in part)
