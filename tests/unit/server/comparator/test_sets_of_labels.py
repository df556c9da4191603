"""What two answers of several labels say: the labels above one half, and whether both say the same."""

from __future__ import annotations

import pytest

from tuneloop_server.answers import ANSWERS
from tuneloop_server.answers.answer_format import UnreadableAnswer, UnreadableLabel, agree, flips
from tuneloop_server.comparator.labelled import LabelledTally

FORMAT = ANSWERS["text-classification/multi-label"]
LABELS = ["anger", "joy", "love"]


def read(**scores: float):
    (choice,) = FORMAT.read([{"label": label, "score": score} for label, score in scores.items()])
    return choice


def test_the_labels_above_one_half_are_chosen():
    assert {*read(joy=0.9, love=0.51, anger=0.5).classes} == {"joy", "love"}
    assert read(joy=0.1, love=0.2).classes == {}


def test_two_answers_agree_if_they_choose_the_same_labels_in_any_order():
    assert agree([read(joy=0.9, love=0.6)], [read(love=0.99, joy=0.51)])
    assert not agree([read(joy=0.9, love=0.6)], [read(joy=0.9, love=0.4)])


def test_a_flip_is_a_label_that_only_one_of_them_has():
    stable, canary = read(joy=0.9, love=0.9, anger=0.1), read(joy=0.9, love=0.1, anger=0.9)
    assert sorted(flips([stable], [canary])) == [("love", "none"), ("none", "anger")]


def test_the_confidence_in_a_set_is_that_in_its_least_sure_label():
    assert read(joy=0.9, love=0.3).confidence == pytest.approx(0.7)
    assert read(joy=0.55, love=0.01).confidence == pytest.approx(0.55)


def test_a_golden_row_is_right_if_the_whole_set_is():
    tally = LabelledTally()
    right = FORMAT.read_label(["joy", "love"], LABELS)
    tally.add(stable=read(joy=0.9, love=0.8), canary=read(joy=0.9, love=0.2), right=right)
    assert (tally.message().canary_only, tally.message().stable_only) == (1, 0)


@pytest.mark.parametrize(("label", "classes"), [(["love", "joy"], {"joy", "love"}), ([], set())])
def test_the_label_of_a_golden_row_is_a_list(label, classes):
    assert {*FORMAT.read_label(label, LABELS)} == classes


@pytest.mark.parametrize(
    ("label", "message"),
    [
        ("joy", "label is no list of labels"),
        ([1], "label is no list of labels"),
        (0.5, "label is no list of labels"),
        (["joy", "joy"], "label has a label twice"),
        (["joy", "hate"], "label has 1 that are none of the model's 3 labels; allowed: anger, joy, love"),
    ],
)
def test_what_is_no_such_list_is_refused_without_being_shown(label, message):
    with pytest.raises(UnreadableLabel, match=message) as refused:
        FORMAT.read_label(label, LABELS)
    assert "hate" not in str(refused.value)
    assert 'example: ["anger"], or [] for none' in str(refused.value)


@pytest.mark.parametrize("answer", [[], [[]], [{"label": "joy"}], [{"label": "joy", "score": "high"}], {}])
def test_what_is_no_answer_cannot_be_read(answer):
    with pytest.raises(UnreadableAnswer):
        FORMAT.read(answer)
