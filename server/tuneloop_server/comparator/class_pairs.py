"""Counts flips by pair of classes, with a bounded number of pairs: what a model names its classes is known, what a broken one answers is not. Pure."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from tuneloop_api.contract.comparison import Flip
from tuneloop_server.answers.answer_format import NO_CLASS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

OTHER = "other"
MOST_NAMED = 5
"""Classes with a name of their own. With `none` and `other` they make at most 43 pairs, each a series."""


class ClassPairs:
    """Flips by (class of stable, class of the canary)."""

    def __init__(self, names: Sequence[str]) -> None:
        """names: the classes of the task; the first ones keep their names."""
        self._named = {*names[:MOST_NAMED], NO_CLASS}
        self._counts: Counter[tuple[str, str]] = Counter()

    def add(self, flips: Iterable[tuple[str, str]]) -> None:
        """Count the flips of one request."""
        self._counts.update((self._name(stable), self._name(canary)) for stable, canary in flips)

    def message(self) -> list[Flip]:
        """Return the pairs that were counted, in the order of their names."""
        return [
            Flip(stable=stable, canary=canary, count=count) for (stable, canary), count in sorted(self._counts.items())
        ]

    def _name(self, given: str) -> str:
        return given if given in self._named else OTHER
