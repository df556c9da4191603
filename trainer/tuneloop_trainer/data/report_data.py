"""The data report: what became of the rows, as JSON beside the data and as text in the log."""

from __future__ import annotations

import resource
from typing import TYPE_CHECKING, Any

import numpy as np

from tuneloop_trainer.data.notes import notes_of
from tuneloop_trainer.data.steps import exact_duplicates, keep_splits_apart, label_ids
from tuneloop_trainer.dataset.splits import SPLITS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from tuneloop_trainer.data.bad_rows import BadRows
    from tuneloop_trainer.data.collect import Collected, SourceCounts
    from tuneloop_trainer.data.row_table import RowTable
    from tuneloop_trainer.data.steps.step import DataStep
    from tuneloop_trainer.data.write_splits import WrittenSplits

_PERCENTILES_OF_NUMBERS = (0, 1, 5, 25, 50, 75, 95, 99, 100)
_PERCENTILES = (1, 5, 25, 50, 75, 90, 95, 99, 99.5, 100)


def data_report(
    *,
    collected: Collected,
    facts: Mapping[str, Mapping[str, Any]],
    steps: Sequence[DataStep],
    written: WrittenSplits,
    lengths: Mapping[str, NDArray[np.int64]],
    numbers: Mapping[str, NDArray[np.float64]],
    max_tokens: int,
    seconds: Mapping[str, float],
) -> dict[str, Any]:
    """Return the report as JSON data. facts: of each step by its name. lengths: whole tokens of each row by split, before the cut.
    numbers: those to be predicted, by split; empty where rows have classes.
    """
    apart = facts[keep_splits_apart.STEP.name]
    report = {
        "version": 2,
        "rows": {name: files.source_rows for name, files in written.files.items()},
        **rows_report(collected=collected, table=written.table, facts=facts, steps=steps),
        "leakage": _leakage({name: found for name, found in apart.items() if name != "acrossSplits"}),
        "tokens": {
            "max": max_tokens,
            "truncated": {
                name: 0 if written.windows else int((values > max_tokens).sum()) for name, values in lengths.items()
            },
            **({"windows": written.windows} if written.windows else {}),
            "withoutTarget": written.without_target,
            "percentiles": {name: _percentiles(values) for name, values in lengths.items()},
        },
        "seconds": {part: round(value, 2) for part, value in seconds.items()},
        "peakMemoryMiB": peak_memory_mib(),
    }
    if numbers:
        report["numbers"] = {name: _quantiles(values) for name, values in numbers.items()}
    return report | {"notes": notes_of(report)}


def rows_report(
    *, collected: Collected, table: RowTable, facts: Mapping[str, Mapping[str, Any]], steps: Sequence[DataStep]
) -> dict[str, Any]:
    """Return the part of the report that is known before any row is tokenized. The arguments are those of `data_report`."""
    classes = label_ids.classes_of(table, table.labels or [])
    counts = label_ids.class_counts(table, classes)
    across = facts[keep_splits_apart.STEP.name]["acrossSplits"]
    return {
        "format": {"name": table.row_format.name, **collected.format_facts},
        "classes": {
            name: {label: int(counts[index, place]) for place, label in enumerate(classes)}
            for index, name in enumerate(SPLITS)
        },
        "sources": list(map(_source, collected.sources)),
        "bad": bad_rows_report(collected.bad),
        "dropped": collected.dropped,
        "steps": [{"name": step.name, "version": step.version, **facts[step.name]} for step in steps],
        "duplicates": {**facts[exact_duplicates.STEP.name], "acrossSplits": across},
    }


def summary(report: Mapping[str, Any]) -> str:
    """Return the report as a few lines for the log."""
    rows, tokens, duplicates = report["rows"], report["tokens"], report["duplicates"]
    left_out = (
        f"{report['bad']['count']:,} bad",
        f"{report['dropped']:,} dropped by labelRule",
        f"{duplicates['withinSplit']:,} repeated",
        f"{duplicates['acrossSplits']:,} standing in two splits",
        f"{sum(tokens['withoutTarget'].values()):,} without a target after the cut",
    )
    numbers = report.get("numbers", {})
    leakage = {name: found for name, found in report["leakage"].items() if name != "passed"}
    longest, median = tokens["percentiles"]["train"]["100"], tokens["percentiles"]["train"]["50"]
    cut = f"cut at {tokens['max']} ({sum(tokens['truncated'].values()):,} rows)"
    lines = [
        f"data: {sum(rows.values()):,} rows: {', '.join(f'{name} {count:,}' for name, count in rows.items())}",
        *(f"  {name}: {_shares(classes, rows=rows[name])}" for name, classes in report["classes"].items() if classes),
        *(
            f"  {name}: numbers from {found['0']:g} to {found['100']:g}, median {found['50']:g}"
            for name, found in numbers.items()
        ),
        f"  left out: {', '.join(left_out)}",
        *(f"  bad: {count:,} {reason}" for reason, count in report["bad"]["reasons"].items()),
        f"  labels: {duplicates['conflictingLabels']:,} repeated rows have another label than the first",
        f"  leakage: {'none' if report['leakage']['passed'] else leakage}",
        f"  tokens: median {median}, longest {longest}, {cut}",
        *(f"  note: {note}" for note in report["notes"]),
        f"  took {sum(report['seconds'].values()):.1f} s, {report['peakMemoryMiB']:,} MiB at most",
    ]
    return "\n".join(lines)


def peak_memory_mib() -> int:
    """Return the largest resident size of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def _source(counts: SourceCounts) -> dict[str, Any]:
    further = {"feedback": counts.feedback, "objects": counts.objects}
    return {
        "uri": counts.uri,
        "for": SPLITS[counts.split],
        "files": counts.files,
        "read": counts.read,
        "usable": counts.usable,
        "bad": counts.bad,
        "dropped": counts.dropped,
    } | {name: facts for name, facts in further.items() if facts is not None}


def bad_rows_report(rows: BadRows) -> dict[str, Any]:
    """Return the number of bad rows by reason, and the first of them whole."""
    return {
        "count": rows.counts.total(),
        "reasons": {reason.value: number for reason, number in rows.counts.most_common()},
        "samples": [
            {"place": sample.place, "reason": sample.reason.value, "excerpt": str(sample.excerpt)}
            for sample in rows.samples
        ],
    }


def _leakage(found: Mapping[str, Mapping[str, int]]) -> dict[str, Any]:
    """Return what stands in two splits. Shared texts were left out or refused before; groups of given splits are only reported."""
    return {**found, "passed": not any(number for pairs in found.values() for number in pairs.values())}


def _percentiles(lengths: NDArray[np.int64]) -> dict[str, int]:
    values = np.percentile(lengths, _PERCENTILES, method="higher")
    return {f"{percent:g}": int(value) for percent, value in zip(_PERCENTILES, values, strict=True)}


def _quantiles(numbers: NDArray[np.float64]) -> dict[str, float]:
    values = np.percentile(numbers, _PERCENTILES_OF_NUMBERS)
    return {f"{percent:g}": float(value) for percent, value in zip(_PERCENTILES_OF_NUMBERS, values, strict=True)}


def _shares(classes: Mapping[str, int], *, rows: int) -> str:
    """Return how many rows have each class, and which share of the split they are; rows of several classes count for each."""
    shown = [f"{label} {count:,} ({count / max(1, rows):.1%})" for label, count in list(classes.items())[:10]]
    return ", ".join(shown) + (f" and {len(classes) - 10} more classes" if len(classes) > 10 else "")
