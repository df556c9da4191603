"""What two answers say, and whether they say the same: read back from the JSON that a client gets."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuneloop_server.answers import ANSWERS
from tuneloop_server.answers.answer_format import UnreadableAnswer, UnreadableLabel, agree, flips
from tuneloop_server.tasks import TASKS

TEXT, TOKENS = ANSWERS["text-classification"], ANSWERS["token-classification"]
TAGS = ["O", "B-PER", "I-PER", "B-LOC"]


def scores(**by_label):
    return [{"label": label, "score": score} for label, score in by_label.items()]


def entity(kind, start, end, score=0.9, **more):
    return {"entity_group": kind, "start": start, "end": end, "score": score, "word": "w"} | more


def test_every_task_of_the_server_has_its_entry_in_the_table_and_no_other_is_there():
    assert {name: task.answer_format for name, task in TASKS.items()} == ANSWERS


def test_the_class_with_the_highest_score_is_chosen_wherever_it_stands():
    (choice,) = TEXT.read(scores(no=0.2, yes=0.7, maybe=0.1))
    assert ([*choice.classes.values()], choice.confidence) == (["yes"], 0.7)


def test_an_answer_to_several_texts_has_a_choice_for_each():
    choices = TEXT.read([scores(no=0.9), scores(yes=0.8)])
    assert [[*choice.classes.values()] for choice in choices] == [["no"], ["yes"]]


def test_two_answers_agree_if_they_choose_the_same_whatever_their_scores():
    assert agree(TEXT.read(scores(no=0.9, yes=0.1)), TEXT.read(scores(yes=0.4, no=0.6)))


def test_one_text_of_many_that_differs_makes_a_request_differ():
    stable = TEXT.read([scores(no=0.9), scores(yes=0.8), scores(no=0.9)])
    canary = TEXT.read([scores(no=0.9), scores(no=0.8), scores(no=0.9)])
    assert not agree(stable, canary)
    assert [*flips(stable, canary)] == [("yes", "no")]


def test_answers_to_different_numbers_of_texts_differ_without_a_common_place():
    stable, canary = TEXT.read([scores(no=0.9)]), TEXT.read([scores(no=0.9), scores(no=0.9)])
    assert not agree(stable, canary)
    assert [*flips(stable, canary)] == []


def test_entities_agree_only_if_all_spans_and_types_are_the_same():
    stable = TOKENS.read([entity("PER", 0, 4), entity("LOC", 9, 12)])
    assert agree(stable, TOKENS.read([entity("LOC", 9, 12, score=0.1), entity("PER", 0, 4)]))
    assert not agree(stable, TOKENS.read([entity("PER", 0, 4)]))


def test_a_flip_of_an_entity_is_another_type_or_none():
    stable = TOKENS.read([entity("PER", 0, 4), entity("LOC", 9, 12)])
    canary = TOKENS.read([entity("LOC", 0, 4), entity("PER", 20, 22)])
    assert sorted(flips(stable, canary)) == [("LOC", "none"), ("PER", "LOC"), ("none", "PER")]


def test_the_confidence_in_entities_is_the_lowest_and_there_is_none_without_entities():
    found, empty = TOKENS.read([[entity("PER", 0, 4, 0.9), entity("LOC", 9, 12, 0.4)], []])
    assert (found.confidence, empty.confidence) == (0.4, None)


def test_single_tokens_with_their_tags_are_read_as_well():
    answer = [
        {"entity": tag, "index": n, "start": 0, "end": 0, "score": 0.5} for n, tag in enumerate(["B-PER", "I-LOC"])
    ]
    (choice,) = TOKENS.read(answer)
    assert [*choice.classes.values()] == ["PER", "LOC"]


def test_an_empty_answer_says_that_a_text_has_no_entity():
    assert [choice.classes for choice in TOKENS.read([])] == [{}]
    assert [choice.classes for choice in TOKENS.read([[], []])] == [{}, {}]


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param([], id="no label"),
        pytest.param([[]], id="no label of a text"),
        pytest.param({"label": "no", "score": 1}, id="no list"),
        pytest.param([{"label": "no"}], id="no score"),
        pytest.param([{"label": 1, "score": 1}], id="no text"),
        pytest.param([{"score": 1}], id="no label field"),
        pytest.param([{"label": "no", "score": True}], id="a boolean"),
        pytest.param([{"label": "no", "score": 10**400}], id="too large a number"),
        pytest.param([{"label": "no", "score": float("nan")}], id="not a number"),
        pytest.param([scores(no=1), 3], id="mixed"),
        pytest.param([[3]], id="numbers"),
        pytest.param("<html>", id="text"),
    ],
)
def test_what_is_no_answer_of_text_classification_is_an_error(answer):
    with pytest.raises(UnreadableAnswer):
        TEXT.read(answer)


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param([entity("PER", 0, None)], id="no end"),
        pytest.param([entity("PER", 0.5, 3)], id="half a character"),
        pytest.param([entity(None, 0, 3)], id="no type"),
        pytest.param([entity("PER", 0, 3, "high")], id="no score"),
        pytest.param(None, id="null"),
    ],
)
def test_what_is_no_answer_of_token_classification_is_an_error(answer):
    with pytest.raises(UnreadableAnswer):
        TOKENS.read(answer)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["label", "score", "entity", "start", "end", "x"]), inner, max_size=4)
    ),
    max_leaves=12,
)


@pytest.mark.parametrize("answers", ANSWERS.values(), ids=ANSWERS)
@given(document=JSON)
def test_any_json_is_read_or_is_an_error(answers, document):
    with contextlib.suppress(UnreadableAnswer):
        assert answers.read(document)


@pytest.mark.parametrize("label", ["maybe", 3, ["no"], {"label": "no"}])
def test_a_label_that_the_model_has_not_is_refused_with_those_that_it_has(label):
    with pytest.raises(UnreadableLabel, match=r"none of the model's 2 labels; allowed: no, yes; example: no"):
        TEXT.read_label(label, ["no", "yes"])


def test_the_label_of_a_golden_row_is_what_a_right_answer_chooses():
    assert TEXT.read_label("yes", ["no", "yes"]) == TEXT.read(scores(yes=0.9, no=0.1))[0].classes
    right = [{"entity_group": "PER", "start": 0, "end": 4}]
    assert TOKENS.read_label(right, TAGS) == TOKENS.read([entity("PER", 0, 4)])[0].classes


def test_a_golden_row_without_entities_has_an_empty_list_as_its_label():
    assert TOKENS.read_label([], TAGS) == TOKENS.read([])[0].classes


@pytest.mark.parametrize(
    "label", [None, "PER", [{"entity_group": "PER"}], [{"entity_group": "DOG", "start": 0, "end": 3}]]
)
def test_a_label_that_lists_no_entities_of_the_model_is_refused(label):
    with pytest.raises(UnreadableLabel, match=r"^label .*(example|allowed): "):
        TOKENS.read_label(label, TAGS)
