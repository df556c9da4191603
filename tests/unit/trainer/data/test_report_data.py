"""What the log says of prepared data."""

from __future__ import annotations

from typing import Any

import pytest

from tuneloop_trainer.data.report_data import summary


def report(**changes: Any) -> dict[str, Any]:
    return {
        "rows": {"train": 1900, "validation": 100, "test": 200},
        "classes": {"train": {"no": 1425, "yes": 475}, "validation": {"no": 0, "yes": 0}},
        "bad": {"count": 5000, "reasons": {"missing text": 4000, "missing label": 1000}},
        "dropped": 6000,
        "duplicates": {"withinSplit": 7000, "acrossSplits": 8000, "conflictingLabels": 1234},
        "leakage": {"sharedTexts": {"train+test": 0}, "passed": True},
        "tokens": {
            "max": 128,
            "truncated": {"train": 1100, "test": 11},
            "withoutTarget": {"train": 9000, "test": 1},
            "percentiles": {"train": {"50": 17, "100": 300}},
        },
        "seconds": {"reading": 1.26, "tokens": 2.5},
        "peakMemoryMiB": 1500,
        "notes": ["the labels look alike"],
    } | changes


def test_the_log_tells_what_became_of_the_rows():
    assert summary(report()).splitlines() == [
        "data: 2,200 rows: train 1,900, validation 100, test 200",
        "  train: no 1,425 (75.0%), yes 475 (25.0%)",
        "  validation: no 0 (0.0%), yes 0 (0.0%)",
        "  left out: 5,000 bad, 6,000 dropped by labelRule, 7,000 repeated, 8,000 standing in two splits, 9,001 without a target after the cut",
        "  bad: 4,000 missing text",
        "  bad: 1,000 missing label",
        "  labels: 1,234 repeated rows have another label than the first",
        "  leakage: none",
        "  tokens: median 17, longest 300, cut at 128 (1,111 rows)",
        "  note: the labels look alike",
        "  took 3.8 s, 1,500 MiB at most",
    ]


def test_what_stands_in_two_splits_is_reported():
    text = summary(report(leakage={"sharedTexts": {"train+test": 2}, "passed": False}))
    assert "  leakage: {'sharedTexts': {'train+test': 2}}\n" in text


@pytest.mark.parametrize(("classes", "end"), [(10, "c9 1 (10.0%)"), (12, "c9 1 (8.3%) and 2 more classes")])
def test_of_many_classes_the_first_ten_are_named(classes, end):
    counts = {f"c{number}": 1 for number in range(classes)}
    line = summary(report(rows={"train": classes}, classes={"train": counts})).splitlines()[1]
    assert line.startswith("  train: c0 1 (")
    assert line.endswith(end)


def test_rows_of_several_labels_count_for_each_of_them():
    line = summary(report(rows={"train": 4}, classes={"train": {"joy": 4, "love": 1}})).splitlines()[1]
    assert line == "  train: joy 4 (100.0%), love 1 (25.0%)"
