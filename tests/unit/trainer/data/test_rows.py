"""Which rows can be used, what their class is, and why the others cannot be used."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuneloop_api.contract.data_settings import LabelRuleSettings, ValidationSettings
from tuneloop_trainer.data.bad_rows import BadRows, refuse_too_many
from tuneloop_trainer.data.formats.labels import class_of, in_order
from tuneloop_trainer.data.formats.row_format import LeftOut, Unusable
from tuneloop_trainer.data.formats.text_label import parse
from tuneloop_trainer.data.sources.excerpt import Excerpt
from tuneloop_trainer.data.sources.raw import BadReason, RawRow
from tuneloop_trainer.errors import DataError

RULE = LabelRuleSettings(above=0.0, names=["bad", "good"], drop_within=0.5)


@pytest.mark.parametrize(
    ("value", "label"),
    [
        ("  spam ", "spam"),
        (1, "1"),
        (1.0, "1"),
        (0.5, "0.5"),
        (True, "true"),
        (False, "false"),
        ("1.0", "1.0"),
        (None, BadReason.MISSING_LABEL),
        ("  ", BadReason.MISSING_LABEL),
        (math.nan, BadReason.MISSING_LABEL),
        ([1], BadReason.NOT_A_LABEL),
        ("x" * 128, "x" * 128),
        ("x" * 129, BadReason.LONG_LABEL),
        (10**20, "100000000000000000000"),
        (10**400, BadReason.LONG_LABEL),
        (1e300, BadReason.LONG_LABEL),
        (math.inf, BadReason.NOT_A_LABEL),
        (-math.inf, BadReason.NOT_A_LABEL),
        ("half \ud800", BadReason.LABEL_NOT_UNICODE),
    ],
)
def test_a_label_becomes_a_string(value, label):
    assert class_of(value, rule=None, known=None) == label


@pytest.mark.parametrize(
    ("value", "label"),
    [
        ("0.5", "good"),
        (-0.5, "bad"),
        (0.49, None),
        ("-0.1", None),
        (3, "good"),
        ("1e3", "good"),
        ("", BadReason.MISSING_LABEL),
        (None, BadReason.MISSING_LABEL),
        ("many", BadReason.NOT_A_NUMBER),
        ("nan", BadReason.NOT_A_NUMBER),
        (math.inf, BadReason.NOT_A_NUMBER),
        (True, BadReason.NOT_A_NUMBER),
    ],
)
def test_a_label_rule_turns_numbers_into_two_classes_and_leaves_out_the_middle(value, label):
    assert class_of(value, rule=RULE, known=None) == label


def test_without_drop_within_the_threshold_itself_belongs_to_the_first_class():
    assert class_of(0, rule=LabelRuleSettings(above=0.0, names=["bad", "good"]), known=None) == "bad"


@given(value=st.floats(allow_nan=False, allow_infinity=False))
def test_a_number_is_left_out_exactly_if_it_is_closer_than_drop_within(value):
    assert (class_of(value, rule=RULE, known=None) is None) == (abs(value) < 0.5)


def test_a_class_that_the_model_does_not_have_is_unknown():
    assert class_of("ham", rule=None, known={"spam": "spam"}) is BadReason.UNKNOWN_CLASS


def test_classes_are_sorted_by_value_if_they_are_whole_numbers():
    assert in_order(["10", "9", "1"]) == ["1", "9", "10"]
    assert in_order(["10", "9", "a"]) == ["10", "9", "a"]


@pytest.mark.parametrize(
    ("cells", "reason", "excerpt"),
    [
        ((None, "y"), BadReason.MISSING_TEXT, ""),
        (("", "y"), BadReason.MISSING_TEXT, ""),
        ((" \t\u00a0", "y"), BadReason.BLANK_TEXT, ""),
        ((7, "y"), BadReason.NOT_TEXT, "7"),
        (("half \ud800", "y"), BadReason.NOT_UNICODE, "half \\ud800"),
        (("x", None), BadReason.MISSING_LABEL, "x"),
        (("x", [1]), BadReason.NOT_A_LABEL, "[1]"),
        (("a\nb " * 1000, None), BadReason.MISSING_LABEL, ("a b " * 1000)[:120] + "…"),
    ],
)
def test_a_row_that_cannot_be_used_says_why_and_shows_what_was_found(cells, reason, excerpt):
    assert parse(RawRow(1, cells), rule=None, known=None) == Unusable(reason, Excerpt(excerpt))


def test_a_row_that_can_be_used_has_a_text_and_a_label():
    assert parse(RawRow(1, ("x", "y")), rule=None, known=None) == {"text": "x", "label": "y"}
    assert parse(RawRow(1, ("x", "0.2")), rule=RULE, known=None) is LeftOut.TOO_CLOSE


def three_bad_rows() -> BadRows:
    bad = BadRows(most_samples=2)
    for number in (5, 6, 7):
        bad.add(Unusable(BadReason.NOT_A_NUMBER, Excerpt("'many'")), place=f"a.csv line {number}")
    return bad


def test_more_bad_rows_than_tolerated_are_refused_with_counts_samples_and_what_to_set():
    with pytest.raises(DataError) as caught:
        refuse_too_many(three_bad_rows(), rows=1000, settings=ValidationSettings(max_bad_fraction=0.002))
    assert "3 of 1,000 rows cannot be used: 3 label is not a number" in caught.value.message
    assert "a.csv line 5: label is not a number ('xxxx')" in caught.value.message
    assert "a.csv line 7" not in caught.value.message
    assert "maxBadFraction: 0.003" in caught.value.hint


def test_the_fraction_that_the_hint_names_is_enough():
    refuse_too_many(three_bad_rows(), rows=1000, settings=ValidationSettings(max_bad_fraction=0.003))


def test_a_sample_that_has_nothing_to_show_shows_no_brackets():
    bad = BadRows(most_samples=1)
    bad.add(Unusable(BadReason.MISSING_TEXT), place="a.csv line 3")
    with pytest.raises(DataError, match="a.csv line 3: missing text$"):
        refuse_too_many(bad, rows=1000, settings=ValidationSettings())


@pytest.mark.parametrize(
    ("reason", "advice"),
    [
        (BadReason.OPEN_QUOTE, "put cells with quotes into quotes"),
        (BadReason.BLANK_TEXT, "mend these rows, or set data.validate.maxBadFraction: 0.3 "),
    ],
)
def test_the_hint_says_how_the_most_frequent_fault_is_mended(reason, advice):
    rows = BadRows(most_samples=3)
    for found in (BadReason.NOT_TEXT, reason, reason):
        rows.add(Unusable(found, Excerpt("'y'")), place="a.csv line 1")
    with pytest.raises(DataError) as refused:
        refuse_too_many(rows, rows=10, settings=ValidationSettings())
    assert refused.value.hint.startswith(advice)


@pytest.mark.parametrize(("bad", "advice"), [(1, "maxBadFraction: 0.1"), (10, "columns")])
def test_what_to_do_depends_on_how_many_rows_are_bad(bad, advice):
    rows = BadRows(most_samples=3)
    for number in range(bad):
        rows.add(Unusable(BadReason.UNKNOWN_CLASS, Excerpt("'y'")), place=f"a.csv line {number + 1}")
    with pytest.raises(DataError) as refused:
        refuse_too_many(rows, rows=10, settings=ValidationSettings())
    assert advice in refused.value.hint
