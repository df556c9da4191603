"""Counts pairs: verdicts, failures by revision, flips, ratios of times, generated texts. Pure."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from tuneloop_api.contract.comparison import Failures, PairCounts
from tuneloop_server.comparator.class_pairs import ClassPairs
from tuneloop_server.comparator.latency import LatencyRatios
from tuneloop_server.comparator.likeness import lengths_of
from tuneloop_server.comparator.text_pairs import GeneratedTexts, Similarities

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tuneloop_server.comparator.replies import Failure
    from tuneloop_server.comparator.verdicts import Comparison, Side, Verdict

_MOST_LONGER = 1.5
"""Length of the longer answer / length of the shorter one, of pairs whose times are compared."""


class Tally:
    """Counts of the pairs of one source."""

    def __init__(self, class_names: Sequence[str]) -> None:
        self.verdicts: Counter[Verdict] = Counter()
        self.stable_failures: Counter[Failure] = Counter()
        self.canary_failures: Counter[Failure] = Counter()
        self.flips = ClassPairs(class_names)
        self.ratios = LatencyRatios()
        self.similarities = Similarities()
        self.stable_texts, self.canary_texts = GeneratedTexts(), GeneratedTexts()

    def add(self, pair: Comparison, *, is_warm: bool) -> None:
        """Count one pair. is_warm: its times count, too."""
        self.verdicts[pair.verdict] += 1
        self.stable_failures.update([pair.stable.failure] if pair.stable.failure else [])
        self.canary_failures.update([pair.canary.failure] if pair.canary.failure else [])
        self.flips.add(pair.flips)
        if pair.similarity is not None:
            self.similarities.add(pair.similarity)
            self.stable_texts.add(pair.stable.choices)
            self.canary_texts.add(pair.canary.choices)
        seconds = comparable_seconds(pair.stable, pair.canary) if is_warm and pair.answered_by_both else None
        if seconds is not None:
            self.ratios.add(stable_seconds=seconds[0], canary_seconds=seconds[1])

    def message(self) -> PairCounts:
        """Return the counts as they are now."""
        return PairCounts(
            **{str(verdict): count for verdict, count in self.verdicts.items()},
            stable_failures=_failures(self.stable_failures),
            canary_failures=_failures(self.canary_failures),
            flips=self.flips.message(),
            latency_ratios=list(self.ratios.counts),
            similarity=list(self.similarities.counts) if self.similarities.pairs else [],
            stable_answers=self.stable_texts.message(),
            canary_answers=self.canary_texts.message(),
        )


def _failures(counts: Counter[Failure]) -> Failures:
    return Failures(**{str(failure): count for failure, count in counts.items()})


def comparable_seconds(stable: Side, canary: Side) -> tuple[float, float] | None:
    """Return the times to compare, of answers or of their tokens; None where the lengths are too far apart. Both have answered.

    A text of twice as many tokens takes about twice as long. So of generated texts the times of a token are compared, and of texts whose lengths are near
    each other alone: reading the prompt takes the same time for a short answer, which has more of that time in each of its tokens.
    """
    if all(choice.generated is None for side in (stable, canary) for choice in side.choices):
        return stable.seconds, canary.seconds
    of_stable, of_canary = lengths_of(stable.choices, canary.choices)
    if max(of_stable, of_canary) > _MOST_LONGER * min(of_stable, of_canary):
        return None
    return stable.seconds / of_stable, canary.seconds / of_canary
