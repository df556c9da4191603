"""Which texts go into the next forward pass, and whether it starts now. Pure: no clock, no queue, no model.

A pass over n texts computes n x (longest text) tokens, whatever their own lengths, so texts of like length belong together; and a pass
costs something of its own, so few large ones are better than many small ones. The plan is the cheapest division of what waits.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

PASS_TOKENS = 24
"""What a pass costs beyond its tokens, in tokens. Measured: MiniLM on one core, passes over 1 to 64 texts."""
MOST_LOOKAHEAD = 256
"""Texts that are planned beyond one batch, at most: with large batches the time that planning takes grows with both."""
LONGEST_RETRY = 60
"""Seconds; by then the recent rate says nothing any more."""


def next_batch(lengths: Sequence[int], *, max_batch_size: int) -> list[int]:
    """Return the indices of the texts for the next pass: those that the cheapest plan puts together with the oldest text.

    lengths: tokens per waiting text, oldest first, at least one. At most `max_batch_size` indices; index 0 is always among them, so that no
    text starves. Two batches' worth of the oldest are planned: more would save a little more padding (simulated at 64 clients: 94 instead of
    91 % useful), but texts would overtake others for longer, and the slowest answers be slower than first come, first served.
    """
    considered = lengths[: max_batch_size + min(max_batch_size, MOST_LOOKAHEAD)]
    order = sorted(range(len(considered)), key=considered.__getitem__)
    starts = _cheapest_starts([considered[index] for index in order], most=max_batch_size)
    oldest, end = order.index(0), len(order)
    while starts[end] > oldest:
        end = starts[end]
    return order[starts[end] : end]


def _cheapest_starts(sizes: Sequence[int], *, most: int) -> list[int]:
    """Return where the last part begins in the cheapest division of the first 0, 1, 2 … of these ascending sizes into parts."""
    costs, starts = [0], [0]
    for end in range(1, len(sizes) + 1):
        longest = sizes[end - 1]
        options = range(max(0, end - most), end)
        cost, start = min((costs[start] + PASS_TOKENS + (end - start) * longest, -start) for start in options)
        costs.append(cost)
        starts.append(-start)  # of equals the last one, so that the parts before are full
    return starts


def worth_waiting(*, waiting: int, last_batch: int) -> bool:
    """Tell whether an idle model should wait for more texts: only while far fewer wait than clients had texts a moment ago.

    A single client is never kept waiting: it sends nothing more until it is answered.
    """
    return 2 * waiting < last_batch


def retry_after(*, waiting: int, seconds_per_text: float) -> int:
    """Return the seconds until the texts that wait now are done, at the recent rate: 1 to 60."""
    return min(max(math.ceil(waiting * seconds_per_text), 1), LONGEST_RETRY)
