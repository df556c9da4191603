"""Counts rows whose right answer is known: who was wrong, and how sure both were. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneloop_api.contract.comparison import LabelledCounts, PairedSums
from tuneloop_server.comparator.likeness import likeness_to

if TYPE_CHECKING:
    from tuneloop_server.answers.answer_format import Choice, Classes

TERMS = ("canary", "stable", "canary_squared", "stable_squared", "product")
"""Sums of `contract.comparison.PairedSums`."""


class PairedNumbers:
    """Sums of a number of both revisions, each in [−1, 1]. What is added and what is taken off is kept apart, since counters of Prometheus only grow."""

    def __init__(self) -> None:
        self.rows = 0
        self.added = dict.fromkeys(TERMS, 0.0)
        self.taken = dict.fromkeys(TERMS, 0.0)

    def add(self, *, stable: float, canary: float) -> None:
        """Add the numbers of one row."""
        self.rows += 1
        values = (canary, stable, canary * canary, stable * stable, canary * stable)
        for term, value in zip(TERMS, values, strict=True):
            sums = self.added if value > 0 else self.taken
            sums[term] += abs(value)

    def message(self) -> PairedSums:
        """Return the sums as they are now."""
        return PairedSums(rows=self.rows, **{term: self.added[term] - self.taken[term] for term in TERMS})


class LabelledTally:
    """Counts of rows with a label. A revision that does not answer is wrong, and so is one whose answer cannot be read."""

    def __init__(self) -> None:
        self.rows = self.both_wrong = self.canary_only = self.stable_only = 0
        self.gaps = PairedNumbers()
        """Confidence − correctness."""
        self.similarity = PairedNumbers()
        """Of what was generated and the reference."""

    def add(
        self, *, stable: Choice | None, canary: Choice | None, right: Classes, reference: str | None = None
    ) -> None:
        """Count one row. None: no answer. right: the classes that its label names. reference: the text that would be right, where the task generates."""
        stable_right = stable is not None and stable.classes == right
        canary_right = canary is not None and canary.classes == right
        self.rows += 1
        self.both_wrong += not stable_right and not canary_right
        self.canary_only += stable_right and not canary_right
        self.stable_only += canary_right and not stable_right
        if reference is not None:
            self.similarity.add(stable=likeness_to(stable, reference), canary=likeness_to(canary, reference))
        if stable is None or canary is None or stable.confidence is None or canary.confidence is None:
            return
        self.gaps.add(stable=stable.confidence - stable_right, canary=canary.confidence - canary_right)

    def message(self) -> LabelledCounts:
        """Return the counts as they are now."""
        return LabelledCounts(
            rows=self.rows,
            both_wrong=self.both_wrong,
            canary_only=self.canary_only,
            stable_only=self.stable_only,
            gaps=self.gaps.message(),
            similarity=self.similarity.message(),
        )
