"""The steps of `prepare` on real tables: rows stay once, are divided as asked, and no text stands in two splits."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tuneloop_api.contract.data_settings import DataSettings, DeduplicateSettings, SourceSettings, SplitSettings
from tuneloop_api.contract.settings import ModelSettings, Settings
from tuneloop_trainer.data.formats import FORMATS
from tuneloop_trainer.data.pipeline import STEPS, run_steps
from tuneloop_trainer.data.row_table import TEST, TRAIN, VALIDATION, RowTable, TableBuilder
from tuneloop_trainer.data.steps.split import divide
from tuneloop_trainer.data.text_key import text_key
from tuneloop_trainer.errors import ConfigError, DataError
from tuneloop_trainer.locate import DataFile

SOURCE = [SourceSettings(uri="file:///a.csv")]


@dataclass(frozen=True)
class Assigned:
    """What the steps made of a table."""

    table: RowTable
    facts: dict[str, dict[str, Any]]

    @property
    def splits(self) -> NDArray[np.int8]:
        return self.table.splits


def table(rows: list[tuple[int, str, str]], groups: list[str] | None = None) -> RowTable:
    """Return a table of (source split, text, label)."""
    contents = Path(tempfile.mkstemp(suffix=".arrow")[1])
    with TableBuilder(contents, row_format=FORMATS["text-label"], grouped=groups is not None) as builder:
        for row, (split, text, label) in enumerate(rows):
            builder.add(
                {"text": text, "label": label},
                group_key=None if groups is None else text_key(groups[row]),
                source_split=split,
                split=split,
                row_id=row,
                file_id=0,
                number=row + 2,
            )
    contents.unlink()
    return builder.finish([DataFile(path=Path("/a.csv"), format="csv", name="a.csv")])


def assign(table: RowTable, *, data: DataSettings, labels: list[str] | None) -> Assigned:
    """Run all steps of `prepare`."""
    settings = Settings(model=ModelSettings(uri="file:///m", labels=labels), task="text-classification", data=data)
    return Assigned(*run_steps(table, STEPS, settings=settings, folder=Path("/none"), progress=lambda _done: None))


def data(*, exact: bool = True, across: bool = True, given: bool = False, **split) -> DataSettings:
    return DataSettings(
        train=SOURCE,
        validation=SOURCE if given else None,
        test=SOURCE if given else None,
        split=SplitSettings(**split),
        deduplicate=DeduplicateSettings(exact=exact, across_splits=across),
    )


def many(count: int, classes: int = 2) -> list[tuple[int, str, str]]:
    return [(TRAIN, f"text {index}", f"c{index % classes}") for index in range(count)]


def splits_of(assigned: Assigned) -> list[int]:
    return assigned.splits.tolist()


def test_the_first_of_repeated_rows_stays_and_another_label_is_reported():
    rows = [*many(300), (TRAIN, "TEXT 0", "c1"), (TRAIN, "text 1", "c1")]
    assigned = assign(table(rows), data=data(), labels=None)
    assert splits_of(assigned)[300:] == [-1, -1]
    assert splits_of(assigned)[0] >= 0
    assert assigned.facts["exact-duplicates"] == {
        "withinSplit": 2,
        "conflictingLabels": 1,
        "firstConflict": "a.csv line 302",
    }


def test_repeated_rows_stay_if_asked_and_keep_together():
    rows = many(300) * 2
    assigned = assign(table(rows), data=data(exact=False), labels=None)
    assert assigned.facts["exact-duplicates"]["withinSplit"] == 0
    assert splits_of(assigned)[:300] == splits_of(assigned)[300:]


def test_training_rows_that_stand_in_validation_or_test_go_and_validation_rows_that_stand_in_test():
    rows = [
        (TRAIN, "a", "x"), (TRAIN, "b", "y"), (TRAIN, "c", "x"), (TRAIN, "d", "y"),
        (VALIDATION, "a", "x"), (VALIDATION, "e", "y"), (VALIDATION, "f", "x"), (TEST, "b", "y"), (TEST, "E", "y"), (TEST, "g", "x"),
        (VALIDATION, "h", "y"),
    ]  # fmt: skip
    assigned = assign(table(rows), data=data(given=True), labels=None)
    assert splits_of(assigned) == [-1, -1, TRAIN, TRAIN, VALIDATION, -1, VALIDATION, TEST, TEST, TEST, VALIDATION]
    assert assigned.facts["keep-splits-apart"] == {
        "acrossSplits": 3,
        "sharedTexts": {"train+validation": 0, "train+test": 0, "validation+test": 0},
    }


def test_overlapping_splits_are_refused_where_nothing_may_be_removed():
    rows = [(TRAIN, "a", "x"), (TRAIN, "b", "y"), (VALIDATION, "c", "x"), (TEST, "A", "x")]
    with pytest.raises(
        DataError, match=r"splits overlap: .* 1 rows .* a.csv line 2 \(train\) and a.csv line 5 \(test\)"
    ):
        assign(table(rows), data=data(given=True, across=False), labels=None)


def test_a_class_that_a_split_lacks_is_named_with_its_rows():
    rows = [*many(400), (TRAIN, "rare one", "rare")]
    with pytest.raises(DataError, match=r"the class 'rare' has no row in the .* split; it has 1 in all: ") as caught:
        assign(table(rows), data=data(), labels=None)
    assert "data.allowMissingClasses" in caught.value.hint


def test_a_class_of_the_model_without_any_row_is_named():
    with pytest.raises(DataError, match=r"the class 'c2' has no row in the train split; it has 0 in all"):
        assign(table(many(300)), data=data(), labels=["c2", "c1", "c0"])


def test_the_order_of_given_classes_stays():
    assigned = assign(table(many(300)), data=data(), labels=["c1", "c0"])
    assert assigned.table.labels == ["c1", "c0"]


def test_a_class_whose_rows_are_all_left_out_is_no_class():
    assigned = assign(table([*many(300), (TRAIN, "TEXT 0", "gone")]), data=data(), labels=None)
    assert assigned.table.labels == ["c0", "c1"]


def test_a_class_given_twice_is_refused():
    with pytest.raises(ConfigError, match="model.labels: c0, c0 has a class twice"):
        assign(table(many(300)), data=data(), labels=["c0", "c0"])


def test_one_class_is_nothing_to_learn():
    with pytest.raises(DataError, match="all rows have one label, 'c0'"):
        assign(table(many(300, classes=1)), data=data(), labels=None)


def test_a_class_that_only_contradicting_copies_have_is_named_where_one_class_is_left():
    rows = [(TRAIN, f"text {index // 2}", f"c{index % 2}") for index in range(600)]
    with pytest.raises(DataError, match=r"one label, 'c0'; .* needed; 300 rows of 'c1' were left out, since") as caught:
        assign(table(rows), data=data(), labels=None)
    assert caught.value.hint == "give each text one label: the label of its first row stays"


def test_more_than_a_thousand_classes_are_refused():
    with pytest.raises(DataError, match="1,500 distinct labels, at most 1,000") as caught:
        assign(table(many(1500, classes=1500)), data=data(), labels=None)
    assert "labelRule" in caught.value.hint


def test_a_random_split_keeps_the_proportions_of_the_classes_and_follows_its_seed():
    rows = [(TRAIN, f"text {index}", "rare" if index % 20 == 0 else "common") for index in range(1000)]
    assigned = assign(table(rows), data=data(method="random"), labels=None)
    rare = assigned.table.label_set_ids == assigned.table.label_sets.index(("rare",))
    assert [int((rare & (assigned.splits == split)).sum()) for split in (TRAIN, VALIDATION, TEST)] == [40, 5, 5]
    assert [int((assigned.splits == split).sum()) for split in (TRAIN, VALIDATION, TEST)] == [800, 100, 100]
    assert splits_of(assigned) == splits_of(assign(table(rows), data=data(method="random"), labels=None))
    assert splits_of(assigned) != splits_of(assign(table(rows), data=data(method="random", seed=7), labels=None))


def test_groups_are_not_divided_by_the_classes_of_their_rows():
    classes = [index // 2 % 2 for index in range(400)]
    rows = [(TRAIN, f"text {index}", f"c{label}") for index, label in enumerate(classes)]
    grouped = table(rows, [f"group {index // 2}" for index in range(400)])
    asked = data(method="random", group_by="g")

    def divided(strata: list[int]) -> list[int]:
        fractions = {VALIDATION: 0.1, TEST: 0.1}
        return divide(
            keys=grouped.group_keys, strata=np.array(strata, np.int32), fractions=fractions, settings=asked.split
        ).tolist()

    assert splits_of(assign(grouped, data=asked, labels=None)) == divided([0] * 400)
    assert divided([0] * 400) != divided(classes)


def test_a_stratified_split_gives_a_class_of_three_rows_to_every_split():
    rows = [*many(300), *((TRAIN, f"rare {index}", "rare") for index in range(3))]
    assigned = assign(table(rows), data=data(method="random"), labels=None)
    assert sorted(splits_of(assigned)[300:]) == [TRAIN, VALIDATION, TEST]


def test_a_hash_split_has_about_the_shares_that_were_asked_for():
    assigned = assign(table(many(20_000)), data=data(validation=0.2, test=0.05), labels=None)
    assert (assigned.splits == VALIDATION).mean() == pytest.approx(0.2, abs=0.01)
    assert (assigned.splits == TEST).mean() == pytest.approx(0.05, abs=0.01)


@pytest.mark.parametrize(("classes", "of_each"), [(150, 20), (40, 3), (2, 5)])
def test_a_hash_split_has_a_row_of_every_class_in_every_split(classes, of_each):
    rows = [(TRAIN, f"text {index}", f"c{index % classes}") for index in range(classes * of_each)]
    assigned = assign(table(rows), data=data(), labels=None)
    found = {(label, split) for (_, _, label), split in zip(rows, splits_of(assigned), strict=True)}
    assert len(found) == 3 * classes
    assert assigned.facts["split"]["forClasses"] > 0


def test_a_hash_split_that_has_all_classes_is_left_alone():
    assigned = assign(table(many(300)), data=data(), labels=None)
    keys = assigned.table.text_keys
    fractions = {VALIDATION: 0.1, TEST: 0.1}
    alone = divide(keys=keys, strata=np.zeros(300, np.int32), fractions=fractions, settings=data().split)
    assert (splits_of(assigned), assigned.facts["split"]["forClasses"]) == (alone.tolist(), 0)


def test_a_class_is_divided_alike_whatever_other_classes_there_are():
    rare = [(TRAIN, f"rare {index}", "rare") for index in range(5)]
    alone, beside = (assign(table([*rows, *rare]), data=data(), labels=None) for rows in (many(100), many(900, 7)))
    assert splits_of(alone)[-5:] == splits_of(beside)[-5:]


def test_rows_of_one_text_are_moved_together():
    rows = [*many(300), *((TRAIN, f"rare {index // 2}", "rare") for index in range(8))]
    assigned = assign(table(rows), data=data(exact=False), labels=None)
    rare = splits_of(assigned)[-8:]
    assert rare[::2] == rare[1::2]
    assert {*rare} == {TRAIN, VALIDATION, TEST}


def test_only_the_split_that_was_not_given_is_split_off():
    rows = [*many(300), *((TEST, f"other {index}", f"c{index % 2}") for index in range(4))]
    only_test = DataSettings(train=SOURCE, test=SOURCE)
    assigned = assign(table(rows), data=only_test, labels=None)
    assert splits_of(assigned)[300:] == [TEST] * 4
    assert TEST not in splits_of(assigned)[:300]
    assert 10 < splits_of(assigned).count(VALIDATION) < 60


def test_a_text_of_two_groups_stays_in_one_split_alone():
    rows = [(TRAIN, f"text {index % 150}", f"c{index % 2}") for index in range(300)]
    groups = [f"group {index}" for index in range(300)]
    assigned = assign(table(rows, groups), data=data(exact=False, group_by="g"), labels=None)
    facts = assigned.facts["keep-splits-apart"]
    assert not any(facts["sharedTexts"].values())
    assert facts["acrossSplits"] > 0
    assert not any(facts["sharedGroups"].values())


def test_groups_that_given_splits_share_are_counted():
    rows = [
        (TRAIN, "a", "x"),
        (TRAIN, "b", "y"),
        (VALIDATION, "c", "x"),
        (VALIDATION, "d", "y"),
        (TEST, "e", "x"),
        (TEST, "f", "y"),
    ]
    assigned = assign(table(rows, ["1", "2", "2", "3", "4", "2"]), data=data(given=True, group_by="g"), labels=None)
    assert assigned.facts["keep-splits-apart"]["sharedGroups"] == {
        "train+validation": 1,
        "train+test": 1,
        "validation+test": 1,
    }


def test_a_split_whose_texts_all_stand_in_another_split_is_named():
    rows = [*many(300), *((TEST, text, label) for _, text, label in many(300))]
    same = DataSettings(train=SOURCE, test=SOURCE)
    with pytest.raises(
        DataError, match=r"all \d+ rows of the train split have texts that stand in another split, too"
    ) as caught:
        assign(table(rows), data=same, labels=None)
    assert "a.csv line 302 (test)" in caught.value.message or "(test)" in caught.value.message
    assert "method" not in caught.value.hint


def test_rows_of_a_class_that_were_left_out_are_named_where_the_class_is_missing():
    rows = [*many(300), (TRAIN, "only one", "rare"), (TEST, "only one", "rare"), (TEST, "t", "c0"), (TEST, "s", "c1")]
    with pytest.raises(
        DataError, match=r"'rare' has no row in the train split; .* 1 in test; 1 were left out, since"
    ) as caught:
        assign(table(rows), data=DataSettings(train=SOURCE, test=SOURCE), labels=None)
    assert "add rows of it" in caught.value.hint


@pytest.mark.parametrize(
    ("settings", "hint"),
    [
        pytest.param(data(), "add rows of it; or set data.allowMissingClasses: true (nothing is measured of it); or leave the class out", id="by hash"),
        pytest.param(data(method="random"), "add rows of it; or set data.allowMissingClasses: true (nothing is measured of it); or leave the class out", id="at random"),
        pytest.param(DataSettings(train=SOURCE, validation=SOURCE, test=SOURCE), "add rows of it to data.validation; or set data.allowMissingClasses: true (nothing is measured of it); or leave the class out", id="all splits are given"),
    ],
)  # fmt: skip
def test_the_advice_for_a_missing_class_fits_the_settings(settings, hint):
    rows = [
        *many(300),
        (TRAIN, "rare one", "rare"),
        *((split, f"{split} {label}", label) for split in (1, 2) for label in ("c0", "c1")),
    ]
    if settings.test is None:
        rows = rows[:301]
    with pytest.raises(DataError, match="'rare'") as caught:
        assign(table(rows), data=settings, labels=None)
    assert caught.value.hint == hint


def test_a_test_source_may_lack_a_class_where_that_is_allowed():
    rows = [*many(300), *((TEST, f"other {index}", "c0") for index in range(9)), (TRAIN, "rare", "rare")]
    asked = DataSettings(train=SOURCE, test=SOURCE, allow_missing_classes=True)
    assigned = assign(table(rows), data=asked, labels=None)
    assert assigned.table.labels == ["c0", "c1", "rare"]
    assert assigned.facts["label-ids"]["missing"] == {"validation": ["rare"], "test": ["c1", "rare"]}


def test_a_class_that_training_lacks_is_refused_whatever_is_allowed():
    rows = [*many(300), (TEST, "rare", "rare")]
    with pytest.raises(DataError, match="'rare' has no row in the train split") as caught:
        assign(table(rows), data=DataSettings(train=SOURCE, test=SOURCE, allow_missing_classes=True), labels=None)
    assert "allowMissingClasses" not in caught.value.hint


def test_labels_that_are_numbers_get_the_advice_to_make_two_classes_of_them():
    rows = [(TRAIN, f"text {index}", f"{index / 100 % 3:.2f}") for index in range(600)]
    with pytest.raises(DataError, match="has no row in the") as caught:
        assign(table(rows), data=data(), labels=None)
    assert "the labels are 300 numbers" in caught.value.hint
    assert "labelRule in the source, for example {above: 1.495, names: [low, high]}" in caught.value.hint


def test_a_class_that_looks_like_another_one_is_named_with_it():
    rows = [*many(300), (TRAIN, "one", "C0")]
    with pytest.raises(DataError, match="'C0' has no row in the") as caught:
        assign(table(rows), data=data(), labels=None)
    assert caught.value.hint == "'C0' looks like 'c0': write the class in one way"
