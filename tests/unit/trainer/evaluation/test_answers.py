"""Exact match and F1 of answers by the rules of SQuAD, the threshold above which none is given, and intervals over rows."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuneloop_api.contract.artifact import AnswerSpans
from tuneloop_api.features.question_answering import (
    NEVER,
    NULL,
    SPAN,
    answer_values,
    exact_match,
    normal_answer,
    token_f1,
)
from tuneloop_trainer.evaluation.answer_baselines import LikestSentence, Question, first_sentence, sentences_of
from tuneloop_trainer.evaluation.answers import (
    EXACT,
    F1,
    LOSS,
    WIDTH,
    RowScores,
    answer_f1,
    answer_f1_gain,
    answer_metrics,
    best_threshold,
    decided,
    evaluate_answers,
    row_scores,
)
from tuneloop_trainer.evaluation.intervals import Bootstrap
from tuneloop_trainer.evaluation.predictions import Predictions

BOOTSTRAP = Bootstrap(resamples=200)


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("The Denver Broncos", "denver broncos"),
        ("a  cat, an owl; the end.", "cat owl end"),
        ("U.S.", "us"),
        ("theatre", "theatre"),
        ("the-end", "theend"),
        ("  \n", ""),
        ("The", ""),
        ("“Zürich”", "“zürich”"),  # ASCII punctuation alone, as in the script
    ],
)
def test_an_answer_is_compared_without_case_punctuation_and_articles(text, normal):
    assert normal_answer(text) == normal


@pytest.mark.parametrize(
    ("answer", "right", "exact", "f1"),
    [
        ("the Denver Broncos", ["Denver Broncos"], 1, 1),
        ("Denver", ["Denver Broncos"], 0, 2 / 3),
        ("Denver Denver", ["Denver Broncos"], 0, 1 / 2),
        ("Carolina", ["Denver Broncos", "Carolina Panthers"], 0, 2 / 3),
        ("Paris", ["Denver"], 0, 0),
        ("", [], 1, 1),
        ("Denver", [], 0, 0),
        ("", ["Denver"], 0, 0),
        ("the", ["a"], 1, 1),  # nothing is left of the right answer: it counts as none
        ("", ["the", "Denver"], 0, 0),
        ("10th and 11th centuries", ["in the 10th and 11th centuries"], 0, 8 / 9),
    ],
)
def test_exact_match_and_f1_are_those_of_the_script_of_squad(answer, right, exact, f1):
    assert exact_match(answer, right) == exact
    assert token_f1(answer, right) == pytest.approx(f1)


def predictions(*rows: tuple[int, list[tuple[float, float, float]]]) -> Predictions:
    """Return predictions of rows (has an answer, [(null, span, F1 of the span) of each window])."""
    windows = [(has, *window) for has, of_row in rows for window in of_row]
    values = np.zeros((len(windows), WIDTH), dtype=np.float32)
    for place, (_, null, span, f1) in enumerate(windows):
        values[place, [LOSS, NULL, SPAN, EXACT, F1]] = (place, null, span, float(f1 == 1), f1)
    return Predictions(
        values=values,
        labels=np.array([has for has, *_ in windows]),
        rows=np.arange(len(rows)) * 10,
        offsets=np.cumsum([0, *(len(of_row) for _, of_row in rows)]),
    )


def test_a_row_has_the_likeliest_answer_of_its_windows_and_the_least_likely_absence():
    found = row_scores(
        predictions((1, [(-1.0, -3.0, 0.2), (-4.0, -0.5, 1.0), (-2.0, -0.5, 0.0)]), (0, [(-0.1, -5.0, 0.0)]))
    )
    assert found.f1.tolist() == [1.0, 0.0]
    assert found.margin.tolist() == pytest.approx([-4.0 + 0.5, 4.9])
    assert found.answerable.tolist() == [True, False]


def test_in_training_no_answer_is_given_where_it_is_likelier_if_any_row_has_none():
    all_answerable = predictions((1, [(-1.0, -3.0, 0.5)]), (1, [(-4.0, -0.5, 1.0)]))
    assert answer_metrics(all_answerable, [])["f1"] == pytest.approx(0.75)
    some = predictions((1, [(-1.0, -3.0, 0.5)]), (0, [(-0.5, -4.0, 0.0)]))
    assert answer_metrics(some, []) == pytest.approx({"loss": 0.5, "exact_match": 0.5, "f1": 0.5})


ROWS = st.lists(
    st.tuples(st.integers(-6, 6).map(float), st.sampled_from([0.0, 0.25, 1.0]), st.booleans()), min_size=1, max_size=12
)


@given(rows=ROWS)
def test_the_threshold_is_the_best_of_all_and_0_where_that_is_as_good(rows):
    margin, f1, answerable = (np.array(column) for column in zip(*rows, strict=True))
    scores = RowScores(margin=margin, exact=f1, f1=np.where(answerable, f1, 0.0), answerable=answerable.astype(bool))
    threshold = best_threshold(scores)
    if answerable.all():
        assert threshold is None
        return
    tried = [scores.at(value)[1].sum() for value in np.arange(-8.0, 8.5, 0.5)]
    assert scores.at(threshold)[1].sum() == pytest.approx(max(tried))
    if scores.at(0.0)[1].sum() == pytest.approx(max(tried)):
        assert threshold == 0.0


def test_a_row_at_the_threshold_is_answered():
    margin, right = np.array([2.0, 2.5]), np.array([1.0, 1.0])
    scores = RowScores(margin=margin, exact=right, f1=right, answerable=np.array([True, True]))
    assert scores.at(2.0)[1].tolist() == [1.0, 0.0]


def evaluated(validation: Predictions, test: Predictions):
    return evaluate_answers(
        validation=validation, test=test, labels=[], bootstrap=BOOTSTRAP, doc_stride=8, max_answer_tokens=4
    )


VALIDATION = predictions((1, [(-1.0, -2.0, 1.0)]), (0, [(-1.0, -4.0, 0.0)]))
"""No answer must be likelier by more than 1 and less than 3 nats."""
TEST = predictions(
    (1, [(-1.0, -2.5, 1.0)]), (1, [(-1.0, -6.0, 0.5)]), (0, [(-1.0, -5.0, 0.0)]), (0, [(-1.0, -2.0, 0.0)])
)


def test_the_threshold_is_chosen_on_the_validation_split_and_measured_on_the_test_split():
    found = evaluated(VALIDATION, TEST)
    values = {metric.name: metric.value for metric in found.metrics}
    assert found.answer_spans.null_threshold == 2.0
    assert (found.answer_spans.doc_stride, found.answer_spans.max_answer_tokens) == (8, 4)
    assert values == pytest.approx(
        {
            "exact_match": 0.5,
            "f1": 0.5,
            "has_answer_exact_match": 0.5,
            "has_answer_f1": 0.5,
            "no_answer_exact_match": 0.5,
            "no_answer_f1": 0.5,
            "log_loss": 1.5,
        }
    )
    assert all(metric.low is not None and metric.low <= metric.value <= metric.high for metric in found.metrics)


def test_a_validation_split_whose_rows_all_have_answers_chooses_no_threshold():
    found = evaluated(predictions((1, [(0.0, -2.0, 1.0)])), TEST)
    assert found.answer_spans.null_threshold is None
    assert decided(TEST, found).values[:, NULL].tolist() == [NEVER] * 4


def test_what_is_compared_with_baselines_has_the_threshold():
    compared = decided(TEST, evaluated(VALIDATION, TEST))
    assert compared.values[:, NULL].tolist() == [-3.0] * 4
    silent = np.zeros((4, WIDTH), dtype=np.float32)
    silent[:, SPAN] = NEVER
    assert answer_f1(TEST, compared.values, [], BOOTSTRAP).value == pytest.approx(0.5)
    assert answer_f1(TEST, silent, [], BOOTSTRAP).value == pytest.approx(0.5)
    assert answer_f1_gain(compared, silent, [], BOOTSTRAP).value == pytest.approx(0.0)
    assert answer_f1_gain(TEST, silent, [], BOOTSTRAP).value == pytest.approx(-0.25 + 0.25)


def test_features_are_of_the_likeliest_answer_and_of_the_window_that_says_least_that_there_is_none():
    assert answer_values([(-0.1, -2.0), (-3.0, -0.5)]) == {
        "confidence": pytest.approx(np.exp(-0.5)),
        "no_answer": 0,
        "windows": 2,
    }
    assert answer_values([(-1.0, -2.0)])["no_answer"] == 1


@pytest.mark.parametrize(
    ("has_answer", "expected"), [((1, 1), 0.75), ((1, 0), 0.0)], ids=["always", "where it is likelier"]
)
def test_the_model_before_training_answers_as_often_as_the_trained_one_may(has_answer, expected):
    untrained = [(-1.0, -3.0, 0.5), (-4.0, -0.5, 1.0 if has_answer[1] else 0.0)]
    found = predictions(*((has, [window]) for has, window in zip(has_answer, untrained, strict=True)))
    threshold = None if all(has_answer) else 0.0
    evaluation = SimpleNamespace(answer_spans=AnswerSpans(doc_stride=1, max_answer_tokens=1, null_threshold=threshold))
    test = decided(found, evaluation)
    assert answer_f1(test, found.values, [], BOOTSTRAP).value == pytest.approx(expected)
    assert answer_f1_gain(test, found.values, [], BOOTSTRAP).value == pytest.approx(0.0)


CONTEXT = "Films are made in many towns. The best tale was made in Denver by Ada! Others are\nfrom Zürich"


def test_sentences_end_at_marks_and_line_breaks():
    assert sentences_of(CONTEXT) == [
        "Films are made in many towns.",
        "The best tale was made in Denver by Ada!",
        "Others are",
        "from Zürich",
    ]
    assert sentences_of("no mark at all") == ["no mark at all"]
    assert first_sentence(Question(question="Where?", context=CONTEXT)) == "Films are made in many towns."


def test_the_sentence_with_the_rare_words_of_the_question_is_found_and_its_new_words_are_the_answer():
    likest = LikestSentence([CONTEXT, "Films are made and made again."])
    asked = Question(question="Where was the best tale made?", context=CONTEXT)
    assert likest.sentence(asked) == "The best tale was made in Denver by Ada!"
    assert likest.new_words(asked) == "in Denver by Ada"
    all_known = Question(question="the best tale was made in denver by ada", context=CONTEXT)
    assert likest.new_words(all_known) == "The best tale was made in Denver by Ada!"
