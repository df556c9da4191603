"""What a person is advised to do where a split has no row of a class. `test_steps` has the messages for real tables."""

from __future__ import annotations

import pytest

from tuneloop_api.contract.data_settings import DataSettings, SourceSettings, SplitSettings
from tuneloop_trainer.data.missing_class import MissingClass

SOURCE = [SourceSettings(uri="file:///a.csv")]
ALLOW = "set data.allowMissingClasses: true (nothing is measured of it); or "
MORE = f"add rows of it; or {ALLOW}leave the class out"
SEED = f"add rows of it; or set another data.split.seed; or {ALLOW}leave the class out"
LEARN = "add rows of it; or leave the class out"


def missing(split: str = "validation", *, one_label: bool = True, **facts) -> MissingClass:
    usual = {"missing": ["rare"], "classes": ["a", "b", "rare"], "rows": [7, 0, 1], "left_out": 0}
    return MissingClass(split=split, one_label=one_label, **(usual | facts))


def data(*given: str, **split) -> DataSettings:
    return DataSettings(train=SOURCE, **dict.fromkeys(given, SOURCE), split=SplitSettings(**split))


@pytest.mark.parametrize(
    ("found", "settings", "hint"),
    [
        pytest.param(missing(), data(), MORE, id="by hash"),
        pytest.param(missing(), data(method="random"), MORE, id="at random"),
        pytest.param(missing(), data(group_by="user"), SEED, id="groups"),
        pytest.param(missing(one_label=False), data(), SEED, id="rows of many labels"),
        pytest.param(missing("train"), data("test"), LEARN, id="divided for validation"),
        pytest.param(missing("train"), data("validation"), LEARN, id="divided for test"),
        *(
            pytest.param(
                missing(split),
                data("validation", "test"),
                f"add rows of it to data.{split}; or {'' if split == 'train' else ALLOW}leave the class out",
                id=f"all are given, {split} lacks the class",
            )
            for split in ("train", "validation", "test")
        ),
        pytest.param(
            missing("test"),
            data("test"),
            f"add rows of it to data.test; or {ALLOW}leave the class out",
            id="test is given",
        ),
        pytest.param(
            missing(missing=["Ab"], classes=["ab", "Ab", "c"]),
            data(),
            "'Ab' looks like 'ab': write the class in one way",
            id="a lookalike",
        ),
    ],
)
def test_the_advice_fits_the_settings(found, settings, hint):
    assert found.error(settings).hint == hint


NUMBERS = [f"{number}.5" for number in range(20)]


@pytest.mark.parametrize(("one_label", "is_rule"), [(True, True), (False, False)])
def test_measured_numbers_get_a_rule(one_label, is_rule):
    hint = missing(missing=["3.5"], classes=NUMBERS, one_label=one_label).error(data()).hint
    rule = "the labels are 20 numbers: make two classes of them with labelRule in the source, for example {above: 10, names: [low, high]}"
    assert hint == (rule if is_rule else SEED)


@pytest.mark.parametrize(
    ("found", "message"),
    [
        pytest.param(missing(), "the class 'rare' has no row in the validation split; it has 8 in all: 7 in train, 0 in validation, 1 in test", id="one class"),
        pytest.param(missing(missing=["rare", "b"]), "the class 'rare' (and 1 more: 'b') has no row in", id="two classes"),
        pytest.param(missing(missing=["r", *"abcde"]), "the class 'r' (and 5 more: 'a', 'b', 'c') has no row in", id="many classes"),
        pytest.param(missing(left_out=4), "1 in test; 4 were left out, since their texts repeat others", id="rows were left out"),
    ],
)  # fmt: skip
def test_the_class_and_its_rows_are_named(found, message):
    assert message in found.error(data()).message
