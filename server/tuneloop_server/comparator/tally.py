"""Counts pairs: verdicts, failures by revision, flips, ratios of times. Pure."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from tuneloop_api.contract.comparison import Failures, PairCounts
from tuneloop_server.comparator.class_pairs import ClassPairs
from tuneloop_server.comparator.latency import LatencyRatios

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tuneloop_server.comparator.replies import Failure
    from tuneloop_server.comparator.verdicts import Comparison, Verdict


class Tally:
    """Counts of the pairs of one source."""

    def __init__(self, class_names: Sequence[str]) -> None:
        self.verdicts: Counter[Verdict] = Counter()
        self.stable_failures: Counter[Failure] = Counter()
        self.canary_failures: Counter[Failure] = Counter()
        self.flips = ClassPairs(class_names)
        self.ratios = LatencyRatios()

    def add(self, pair: Comparison, *, is_warm: bool) -> None:
        """Count one pair. is_warm: its times count, too."""
        self.verdicts[pair.verdict] += 1
        self.stable_failures.update([pair.stable.failure] if pair.stable.failure else [])
        self.canary_failures.update([pair.canary.failure] if pair.canary.failure else [])
        self.flips.add(pair.flips)
        if is_warm and pair.answered_by_both:
            self.ratios.add(stable_seconds=pair.stable.seconds, canary_seconds=pair.canary.seconds)

    def message(self) -> PairCounts:
        """Return the counts as they are now."""
        return PairCounts(
            **{str(verdict): count for verdict, count in self.verdicts.items()},
            stable_failures=_failures(self.stable_failures),
            canary_failures=_failures(self.canary_failures),
            flips=self.flips.message(),
            latency_ratios=list(self.ratios.counts),
        )


def _failures(counts: Counter[Failure]) -> Failures:
    return Failures(**{str(failure): count for failure, count in counts.items()})
