"""Asks both revisions the same request, one after the other in random order, and compares what they say.

Why one after the other: asked at the same time, two revisions on one node (or on one laptop) compete for its cores, which slows the faster one most;
their ratio would shrink towards 1 and hide a slow canary (docs/decisions/0042-the-comparator-asks-both-revisions.md has figures). One after the other each has the
machine as a live request finds it. Why in random order: what the second finds changed (load of the moment, caches that both share) is then as often
on the one side as on the other, and the median of the ratio does not move.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from tuneloop_server.comparator.verdicts import compared, side_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from tuneloop_server.answers.answer_format import AnswerFormat
    from tuneloop_server.comparator.revision import Revision
    from tuneloop_server.comparator.verdicts import Comparison


def coin() -> bool:
    """Return true half of the time."""
    return random.getrandbits(1) == 1


class Pairs:
    """The two revisions, asked together."""

    def __init__(
        self, stable: Revision, canary: Revision, *, answers: AnswerFormat, stable_is_first: Callable[[], bool] = coin
    ) -> None:
        self._stable = stable
        self._canary = canary
        self._answers = answers
        self._stable_is_first = stable_is_first

    async def compare(self, target: bytes, body: bytes, *, is_golden: bool = False) -> Comparison:
        """Ask both. target: path and query. is_golden: see `side_of`."""
        if self._stable_is_first():
            stable = await self._stable.ask(target, body)
            canary = await self._canary.ask(target, body)
        else:
            canary = await self._canary.ask(target, body)
            stable = await self._stable.ask(target, body)
        sides = (side_of(reply, self._answers, is_golden=is_golden) for reply in (stable, canary))
        return compared(*sides, tolerance=self._answers.tolerance)

    def close(self) -> None:
        """Close all connections that are free."""
        self._stable.close()
        self._canary.close()
