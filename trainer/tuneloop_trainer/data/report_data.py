"""The data report: what became of the rows, as JSON beside the data and as text in the log."""

from __future__ import annotations

import resource
from typing import TYPE_CHECKING, Any

import numpy as np

from tuneloop_trainer.data.steps.split import class_counts
from tuneloop_trainer.dataset.splits import SPLITS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from tuneloop_trainer.data.collect import Collected, SourceCounts
    from tuneloop_trainer.data.formats.rows import BadRows
    from tuneloop_trainer.data.steps.assign import Assigned

_PERCENTILES = (1, 5, 25, 50, 75, 90, 95, 99, 99.5, 100)


def data_report(
    *,
    collected: Collected,
    assigned: Assigned,
    lengths: Mapping[str, NDArray[np.int64]],
    max_tokens: int,
    seconds: Mapping[str, float],
) -> dict[str, Any]:
    """Return the report as JSON data. `lengths`: whole tokens of each row by split, before the cut."""
    counts = class_counts(assigned.splits, assigned.labels, classes=len(assigned.classes))
    return {
        "version": 1,
        "rows": {name: int(counts[index].sum()) for index, name in enumerate(SPLITS)},
        "classes": {
            name: {label: int(counts[index, place]) for place, label in enumerate(assigned.classes)}
            for index, name in enumerate(SPLITS)
        },
        "sources": list(map(_source, collected.sources)),
        "bad": _bad(collected.bad),
        "dropped": collected.dropped,
        "duplicates": {
            "withinSplit": assigned.repeated,
            "acrossSplits": assigned.across_splits,
            "conflictingLabels": assigned.conflicting,
            "firstConflict": assigned.conflict,
        },
        "leakage": _leakage(assigned),
        "tokens": {
            "max": max_tokens,
            "truncated": {name: int((values > max_tokens).sum()) for name, values in lengths.items()},
            "percentiles": {name: _percentiles(values) for name, values in lengths.items()},
        },
        "seconds": {step: round(value, 2) for step, value in seconds.items()},
        "peakMemoryMiB": peak_memory_mib(),
    }


def summary(report: Mapping[str, Any]) -> str:
    """Return the report as a few lines for the log."""
    rows, tokens, duplicates = report["rows"], report["tokens"], report["duplicates"]
    left_out = (
        f"{report['bad']['count']:,} bad",
        f"{report['dropped']:,} dropped by labelRule",
        f"{duplicates['withinSplit']:,} repeated",
        f"{duplicates['acrossSplits']:,} standing in two splits",
    )
    leakage = {name: found for name, found in report["leakage"].items() if name != "passed"}
    longest, median = tokens["percentiles"]["train"]["100"], tokens["percentiles"]["train"]["50"]
    cut = f"cut at {tokens['max']} ({sum(tokens['truncated'].values()):,} rows)"
    lines = [
        f"data: {sum(rows.values()):,} rows: {', '.join(f'{name} {count:,}' for name, count in rows.items())}",
        *(f"  {name}: {_shares(classes)}" for name, classes in report["classes"].items()),
        f"  left out: {', '.join(left_out)}",
        *(f"  bad: {count:,} {reason}" for reason, count in report["bad"]["reasons"].items()),
        f"  labels: {duplicates['conflictingLabels']:,} repeated rows have another label than the first",
        f"  leakage: {'none' if report['leakage']['passed'] else leakage}",
        f"  tokens: median {median}, longest {longest}, {cut}",
        f"  took {sum(report['seconds'].values()):.1f} s, {report['peakMemoryMiB']:,} MiB at most",
    ]
    return "\n".join(lines)


def peak_memory_mib() -> int:
    """Return the largest resident size of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def _source(counts: SourceCounts) -> dict[str, Any]:
    return {
        "uri": counts.uri,
        "for": SPLITS[counts.pool],
        "files": counts.files,
        "read": counts.read,
        "usable": counts.usable,
        "bad": counts.bad,
        "dropped": counts.dropped,
    }


def _bad(rows: BadRows) -> dict[str, Any]:
    return {
        "count": rows.counts.total(),
        "reasons": {reason.value: number for reason, number in rows.counts.most_common()},
        "samples": [
            {"place": sample.place, "reason": sample.reason.value, "excerpt": sample.excerpt} for sample in rows.samples
        ],
    }


def _leakage(assigned: Assigned) -> dict[str, Any]:
    """Return what stands on two sides. Shared texts are removed or refused before; groups of given splits are only told."""
    groups = assigned.shared_groups
    found: dict[str, Any] = {"sharedTexts": assigned.shared_texts} | (
        {} if groups is None else {"sharedGroups": groups}
    )
    return found | {"passed": not any(number for pairs in found.values() for number in pairs.values())}


def _percentiles(lengths: NDArray[np.int64]) -> dict[str, int]:
    values = np.percentile(lengths, _PERCENTILES, method="higher")
    return {f"{percent:g}": int(value) for percent, value in zip(_PERCENTILES, values, strict=True)}


def _shares(classes: Mapping[str, int]) -> str:
    total = max(1, sum(classes.values()))
    shown = [f"{label} {count:,} ({count / total:.1%})" for label, count in list(classes.items())[:10]]
    return ", ".join(shown) + (f" and {len(classes) - 10} more classes" if len(classes) > 10 else "")
