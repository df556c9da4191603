"""Which texts go into the next forward pass, and whether the pass starts now. Pure: no clock, no queue, no model.

Where the model pads, a pass over n texts computes n x (longest text) tokens, so texts of similar length should share a pass. A pass also has
a fixed cost, so few large passes are better than many small ones. The plan is the cheapest division of the waiting texts into passes.
Where it does not, full passes in order of arrival are the cheapest.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

PASS_TOKENS = 40
"""The fixed cost of a pass, in tokens. Measured: MiniLM on one core, passes over 1 to 16 texts: 29 for one shape again and again, 37 where shapes change, 45 for a new shape."""
MOST_LOOKAHEAD = 256
"""At most this many texts are planned beyond one batch, since planning takes longer with larger batches and with more texts."""
WORTH_OVERTAKING = 1.1
"""Texts overtake each other only where the order of arrival costs this many times the cheapest plan."""
SMOOTHING = 0.2
"""Weight of the newest pass in the recent rate."""
LONGEST_RETRY = 60
"""Seconds. Beyond a minute the recent rate predicts nothing."""


def next_batch(lengths: Sequence[int], *, max_batch_size: int, pads: bool = True) -> list[int]:
    """Return the indices of the texts for the next pass: the texts that the cheapest plan puts together with the oldest text.

    lengths: tokens per waiting text, oldest first, at least one. pads: whether the model computes every text at the length of the longest. At most `max_batch_size` indices; index 0 is always among them, so that
    every text gets its turn: it waits for no more passes than there are older texts. The plan covers the oldest texts, two batches' worth.
    Where it saves less than a tenth, as with texts of like length, the texts leave in order of arrival: a text that others overtake waits
    longer for nothing. Simulated in `bench/batching_simulation.py`.
    """
    if not pads:
        return list(range(min(len(lengths), max_batch_size)))
    considered = lengths[: max_batch_size + min(max_batch_size, MOST_LOOKAHEAD)]
    order = sorted(range(len(considered)), key=considered.__getitem__)
    cost, starts = _cheapest_starts([considered[index] for index in order], most=max_batch_size)
    if _cost_in_order(considered, most=max_batch_size) < WORTH_OVERTAKING * cost:
        return list(range(min(len(considered), max_batch_size)))
    oldest, end = order.index(0), len(order)
    while starts[end] > oldest:
        end = starts[end]
    return order[starts[end] : end]


def _cost_in_order(lengths: Sequence[int], *, most: int) -> int:
    """Return the tokens of full passes in order of arrival."""
    passes = [lengths[first : first + most] for first in range(0, len(lengths), most)]
    return sum(PASS_TOKENS + len(texts) * max(texts) for texts in passes)


def _cheapest_starts(sizes: Sequence[int], *, most: int) -> tuple[int, list[int]]:
    """Divide these ascending sizes into passes as cheaply as possible. Return the tokens, and a list whose entry n is for the first n sizes: where the last pass begins."""
    costs, starts = [0], [0]
    for end, longest in enumerate(sizes, start=1):
        first = max(0, end - most)
        best, best_start = costs[first] + (end - first) * longest, first
        for start in range(first + 1, end):  # a plain loop: `min` over a generator takes three times as long
            cost = costs[start] + (end - start) * longest
            if cost <= best:  # of equally cheap starts the last, so that earlier parts are full
                best, best_start = cost, start
        costs.append(best + PASS_TOKENS)
        starts.append(best_start)
    return costs[-1], starts


def worth_waiting(*, waiting: int, last_batch: int) -> bool:
    """Whether an idle model should wait for more texts: while fewer than half as many wait as the last batch held.

    A single client never waits: it sends its next text only after it was answered.
    """
    return 2 * waiting < last_batch


def retry_after(*, waiting: int, seconds_per_text: float) -> int:
    """Return how many seconds the waiting texts will take at the recent rate: 1 to 60."""
    return min(max(math.ceil(waiting * seconds_per_text), 1), LONGEST_RETRY)


def recent_rate(previous: float, *, seconds: float, rows: int) -> float:
    """Return the recent seconds per row after a pass over `rows` rows. previous: the rate before the pass; 0 if there was none."""
    newest = seconds / rows
    return previous + SMOOTHING * (newest - previous) if previous else newest
