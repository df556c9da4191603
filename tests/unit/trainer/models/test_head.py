"""Which row of a head stands for which label."""

from __future__ import annotations

import pytest

from tuneloop_trainer.models.head import describe_head, rows_by_label

BEFORE = {0: "negative", 1: "neutral", 2: "positive"}


@pytest.mark.parametrize(
    ("labels", "rows"),
    [
        pytest.param(["negative", "neutral", "positive"], [0, 1, 2], id="the same order"),
        pytest.param(["positive", "negative", "neutral"], [2, 0, 1], id="another order"),
        pytest.param(["negative", "positive"], None, id="a label is left out"),
        pytest.param(["negative", "neutral", "positive", "mixed"], None, id="a label more"),
        pytest.param(["negative", "neutral", "good"], None, id="another name"),
        pytest.param(["Negative", "neutral", "positive"], None, id="another letter case"),
    ],
)
def test_each_label_has_the_row_of_its_name(labels: list[str], rows: list[int] | None) -> None:
    assert rows_by_label(labels, BEFORE) == rows


def test_a_name_that_stands_twice_belongs_to_no_row() -> None:
    assert rows_by_label(["a", "b"], {0: "a", 1: "b", 2: "b"}) is None


@pytest.mark.parametrize(
    ("labels", "is_there", "sentence"),
    [
        pytest.param(["a", "b"], False, "new: the model's files hold none", id="no head"),
        pytest.param([*BEFORE.values()], True, "that of the model's files", id="the same labels"),
        pytest.param(
            [*BEFORE.values()][::-1], True, "that of the model's files, its rows in the order of the job's labels", id="another order"
        ),
        pytest.param(
            ["a", "b"], True, "new: that of the model's files is for other labels (negative, neutral, positive)", id="other labels"
        ),
    ],
)  # fmt: skip
def test_a_sentence_says_where_the_head_comes_from(labels: list[str], is_there: bool, sentence: str) -> None:
    assert describe_head(labels, BEFORE, is_there=is_there) == sentence


def test_of_many_labels_the_sentence_names_the_first() -> None:
    before = {row: f"LABEL_{row}" for row in range(77)}
    sentence = describe_head(["a", "b"], before, is_there=True)
    assert sentence.endswith("(LABEL_0, LABEL_1, LABEL_2, LABEL_3, LABEL_4 and 72 more)")
