"""What a person is lines of the data: rows that were left out and why, labels that look alike."""

from __future__ import annotations

from typing import Any

import pytest

from tuneloop_trainer.data.notes import notes_of


def report(**changes: Any) -> dict[str, Any]:
    """Return the part of a data report that notes are made of: 600 rows, of which none was left out."""
    facts = {"bad": 0, "dropped": 0, "withinSplit": 0, "acrossSplits": 0, "withoutTarget": 0, "conflictingLabels": 0}
    facts |= {name: value for name, value in changes.items() if name in facts}
    return {
        "sources": [{"read": 400}, {"read": 200}],
        "bad": {"count": facts["bad"]},
        "dropped": facts["dropped"],
        "duplicates": {
            **{name: facts[name] for name in ("withinSplit", "acrossSplits", "conflictingLabels")},
            "firstConflict": "a.csv line 302" if facts["conflictingLabels"] else None,
        },
        "tokens": {"withoutTarget": {"train": facts["withoutTarget"], "test": 0}},
        "classes": {"train": {"True": 10, "true": 20}, "test": {"True": 2, "true": 3}},
        "steps": [
            {"name": "split", "forClasses": changes.get("forClasses", 0)},
            {"name": "label-ids", "labels": 300, "classes": 300, **changes.get("labels", {})},
        ],
    }


def test_data_of_which_nothing_was_left_out_has_no_note():
    assert notes_of(report()) == []


@pytest.mark.parametrize(
    ("changes", "note"),
    [
        ({"bad": 2}, "2 of 600 rows were left out: 2 cannot be used (data.validate)"),
        ({"dropped": 3}, "3 of 600 rows were left out: 3 are closer to labelRule.above than dropWithin"),
        ({"acrossSplits": 4}, "4 of 600 rows were left out: 4 have a text that stands in another split, too (data.deduplicate.acrossSplits)"),
        ({"withoutTarget": 5}, "5 of 600 rows were left out: 5 have nothing to learn before the cut (data.maxTokens)"),
        ({"withinSplit": 300, "bad": 2}, "302 of 600 rows were left out: 2 cannot be used (data.validate), 300 repeat the text of an earlier row (data.deduplicate.exact)"),
    ],
)  # fmt: skip
def test_whatever_leaves_rows_out_is_named_with_its_field(changes, note):
    assert notes_of(report(**changes)) == [note]


def test_contradictions_are_named_with_a_place():
    lines = notes_of(report(withinSplit=300, conflictingLabels=300))
    assert lines[1] == (
        "300 rows have the text of an earlier row and another label, for example a.csv line 302: the first label stays; give each text one label"
    )


@pytest.mark.parametrize(("count", "subject"), [(1, "1 row was"), (12, "12 rows were")])
def test_rows_that_were_moved_for_their_class_are_counted(count, subject):
    (note,) = notes_of(report(forClasses=count))
    assert note == (
        f"{subject} moved, so that every split has a row of each class: with more data such a row may change sides (data.split.method: hash)"
    )


def test_classes_of_which_nothing_is_measured_are_named():
    lines = notes_of(report(labels={"missing": {"validation": ["a"], "test": [*"abcde"]}}))
    end = "nothing is measured of it there (data.allowMissingClasses)"
    assert lines == [
        f"the validation split has no row of 'a': {end}",
        f"the test split has no row of 'a', 'b', 'c' and 2 more: {end}",
    ]


def test_labels_that_look_alike_are_named_with_their_rows():
    assert notes_of(report(labels={"alike": [["True", "true"]]})) == [
        (
            "labels that look alike are different classes: 'True' (12 rows) and 'true' (23 rows): "
            "write each class in one way, or name the classes in model.labels"
        )
    ]


def test_measured_numbers_as_classes_are_named():
    (note,) = notes_of(report(labels={"numbers": True}))
    assert note == "the labels are 300 numbers, each of them a class: labelRule in the source makes two classes of them"
