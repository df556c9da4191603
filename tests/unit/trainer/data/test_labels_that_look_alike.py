"""Labels that a person takes for one class: the same characters are one class, all others are named."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuneloop_api.contract.data_settings import LabelRuleSettings
from tuneloop_trainer.data.formats.labels import alike, class_of, known_classes, median_of_numbers, normal_label
from tuneloop_trainer.data.formats.tokens_tags import parse as parse_tags
from tuneloop_trainer.data.sources.raw import BadReason, RawRow


@pytest.mark.parametrize(
    ("written", "label"),
    [
        pytest.param("e\u0301te\u0301", "été", id="decomposed"),
        pytest.param("pos\u200bitive", "positive", id="zero-width space"),
        pytest.param("\ufeffpositive", "positive", id="byte order mark"),
        pytest.param("posi\u00adtive\u2060", "positive", id="soft hyphen, word joiner"),
        pytest.param("\u200b positive ", "positive", id="white space behind an invisible character"),
        pytest.param("می\u200cخواهم", "می\u200cخواهم", id="a joiner of the script stays"),
        pytest.param("👩\u200d👩\u200d👧", "👩\u200d👩\u200d👧", id="a joiner of an emoji stays"),
        pytest.param("Positive", "Positive", id="case stays"),
        pytest.param("\u200b", BadReason.MISSING_LABEL, id="nothing to see"),
    ],
)
def test_unicode_forms_and_invisible_characters_make_no_class_of_their_own(written, label):
    assert class_of(written, rule=None, known=None) == label


@given(label=st.text(st.characters(min_codepoint=32, max_codepoint=126)))
def test_a_plain_label_stays_as_it_is(label):
    assert normal_label(label) == label.strip()


def test_the_classes_of_the_model_keep_the_form_in_which_they_are_given():
    decomposed = unicodedata.normalize("NFD", "été")
    known = known_classes([decomposed, "hiver"])
    assert [class_of(value, rule=None, known=known) for value in ("été", decomposed, "\u200bhiver", "Hiver")] == [
        decomposed, decomposed, "hiver", BadReason.UNKNOWN_CLASS,
    ]  # fmt: skip
    rule = LabelRuleSettings(above=0.0, names=["hiver", "été"])
    assert class_of(1, rule=rule, known=known) == decomposed


def test_tags_have_normal_forms_as_well():
    row = RawRow(1, (["a", "b"], ["B-e\u0301", "I-\u200bé"]))
    assert parse_tags(row, scheme="iob2", target="iob2", known=None) == {"tokens": ["a", "b"], "tags": ["B-é", "I-é"]}


@pytest.mark.parametrize(
    ("labels", "groups"),
    [
        (["True", "true", "false"], [["True", "true"]]),
        (["1", "1.0", "2"], [["1", "1.0"]]),
        (["1e0", "01", "2"], [["1e0", "01"]]),
        (["spam", "sp\u200dam", "SPAM"], [["spam", "sp\u200dam", "SPAM"]]),
        (["very good", "very\u00a0good", "very  good"], [["very good", "very\u00a0good", "very  good"]]),
        (["ﬁne", "fine"], [["ﬁne", "fine"]]),
        (["\u0410", "A", "a"], [["\u0410", "A", "a"]]),  # a Cyrillic letter
        (["\u039d\u039f", "NO"], [["\u039d\u039f", "NO"]]),  # Greek letters
        (["да", "нет", "yes", "no"], []),
        (["\u201cx\u201d", '"x"', "don\u2019t", "don't"], [["\u201cx\u201d", '"x"'], ["don\u2019t", "don't"]]),
        (
            ["follow-up", "follow\u2013up", "follow\u2011up", "follow up"],
            [["follow-up", "follow\u2013up", "follow\u2011up"]],
        ),
        (["\u2764", "\u2764\ufe0f"], [["\u2764", "\u2764\ufe0f"]]),  # a heart, and a red one
        (["a", "b", "1", "11", "1_1", "nan", "inf"], []),
    ],
)
def test_labels_that_look_alike_are_found(labels, groups):
    assert alike(labels) == groups


@pytest.mark.parametrize(
    ("labels", "median"),
    [
        ([f"{index / 10}" for index in range(31)], 1.5),
        ([str(index) for index in range(31)], None),
        ([f"{index / 10}" for index in range(19)], None),
        ([*(f"{index / 10}" for index in range(31)), "other"], None),
    ],
)
def test_measured_numbers_differ_from_names(labels, median):
    assert median_of_numbers(labels) == median
