"""Counts of a comparator, as a gate's test wants them."""

from __future__ import annotations

from typing import Any

from tuneloop_api.contract.comparison import RATIO_EDGES, ComparisonCounts, GoldenCounts, LabelledCounts, PairCounts

STARTED = "2026-11-29T10:00:00Z"


def live_counts(rows: int = 0, *, started_at: str = STARTED, **pairs: Any) -> ComparisonCounts:
    """Return counts of so many copies, all of which agree but for those that `pairs` names."""
    other = sum(pairs.get(name, 0) for name in ("disagree", "canary_failed", "stable_failed", "both_failed"))
    return counts(live=PairCounts(agree=rows - other, **pairs), started_at=started_at)


def counts(**fields: Any) -> ComparisonCounts:
    """Return counts of the canary 7d1f beside the stable 03ab."""
    given = {"deployment": "reviews", "task": "text-classification", "stable": "03ab", "canary": "7d1f"}
    return ComparisonCounts(**given | {"started_at": STARTED} | fields)


def ratios(**pairs_by_edge: int) -> list[int]:
    """Return time ratios: `at_0=5` is five pairs in the bin whose upper edge is the first one above 0; `slow=3` three in the last one."""
    found = [0] * (len(RATIO_EDGES) + 1)
    found[len(RATIO_EDGES) // 2] = pairs_by_edge.get("at_0", 0)
    found[-1] = pairs_by_edge.get("slow", 0)
    return found


def replayed(labelled: LabelledCounts, pairs: PairCounts | None = None) -> ComparisonCounts:
    """Return counts after one complete replay of the golden set."""
    last = pairs or PairCounts(agree=labelled.rows)
    golden = GoldenCounts(rows=last.rows, wanted=1, completed=1, last_pairs=last, last_labelled=labelled)
    return counts(golden=golden)
