"""Text classification: its parameters, the scores that a text is answered with, and the prediction that the metrics count."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tuneloop_api.features.text_classification import softmax
from tuneloop_server.errors import RequestError
from tuneloop_server.model import Encoded, Window
from tuneloop_server.tasks.task import ModelFacts
from tuneloop_server.tasks.text_classification import (
    TEXT_CLASSIFICATION,
    TextClassificationParameters,
    read_parameters,
)

FACTS = ModelFacts(labels=("negative", "neutral", "positive"), temperature=2.0, vocabulary=None)


def answer(*logits: float, **parameters):
    window = Window(Encoded(ids=[2, 3]), np.array(logits, dtype=np.float32))
    return TEXT_CLASSIFICATION.answer("a text", [window], TextClassificationParameters(**parameters), FACTS)


@pytest.mark.parametrize(
    ("given", "parameters"),
    [
        pytest.param({}, TextClassificationParameters(top_k=None, function_to_apply="softmax"), id="defaults"),
        pytest.param(
            {"top_k": 1, "function_to_apply": "sigmoid"},
            TextClassificationParameters(top_k=1, function_to_apply="sigmoid"),
            id="both",
        ),
    ],
)
def test_good_parameters_are_understood(given, parameters):
    assert read_parameters(given) == parameters


@pytest.mark.parametrize(
    ("given", "message"),
    [
        pytest.param({"topk": 1}, "parameters.topk: is not known; allowed are top_k, function_to_apply", id="misspelt"),
        pytest.param({"top_k": 0}, "parameters.top_k: 0 was given, expected a whole number from 1", id="top_k 0"),
        pytest.param({"top_k": True}, "parameters.top_k: true was given", id="top_k true"),
        pytest.param({"top_k": 1.5}, "parameters.top_k: 1.5 was given", id="top_k 1.5"),
        pytest.param(
            {"function_to_apply": "max"},
            "parameters.function_to_apply: max was given, allowed are softmax, sigmoid, none; for example",
            id="function",
        ),
        pytest.param({"function_to_apply": []}, "function_to_apply: [] was given", id="function list"),
    ],
)
def test_bad_parameters_are_refused_by_field(given, message):
    with pytest.raises(RequestError) as refused:
        read_parameters(given)
    assert (refused.value.status, refused.value.reason) == (422, "validation")
    assert message in str(refused.value)


def test_a_text_gets_all_labels_best_first():
    scores = [math.exp(logit) / (1 + math.e + math.exp(2)) for logit in (2, 1, 0)]
    assert answer(0.0, 1.0, 2.0).value == [
        {"label": "positive", "score": pytest.approx(scores[0])},
        {"label": "neutral", "score": pytest.approx(scores[1])},
        {"label": "negative", "score": pytest.approx(scores[2])},
    ]


@pytest.mark.parametrize(
    ("top_k", "labels"), [(1, ["negative"]), (2, ["negative", "positive"]), (9, ["negative", "positive", "neutral"])]
)
def test_top_k_labels_are_kept(top_k, labels):
    assert [element["label"] for element in answer(3.0, 1.0, 2.0, top_k=top_k).value] == labels


@pytest.mark.parametrize(
    ("function", "score"),
    [
        pytest.param("none", 2.0, id="none gives logits"),
        pytest.param("sigmoid", 1 / (1 + math.exp(-2.0)), id="sigmoid of each logit"),
        pytest.param("softmax", math.exp(2) / (math.exp(0) + math.exp(1) + math.exp(2)), id="softmax over the labels"),
    ],
)
def test_the_function_makes_scores_of_logits(function, score):
    assert answer(0.0, 1.0, 2.0, function_to_apply=function).value[0]["score"] == pytest.approx(score)


@pytest.mark.parametrize("function", ["sigmoid", "softmax"])
def test_the_score_of_a_huge_logit_is_a_number(function):
    assert answer(-700.0, 0.0, 7e4, function_to_apply=function).value[0]["score"] == pytest.approx(1.0)


@pytest.mark.parametrize("function", ["softmax", "sigmoid", "none"])
def test_the_prediction_is_the_most_probable_label_with_both_confidences(function):
    (prediction,) = answer(0.0, 3.0, 2.0, function_to_apply=function, top_k=1).predictions
    assert prediction.label == "neutral"
    assert prediction.confidence == pytest.approx(softmax([0.0, 3.0, 2.0])[1])
    assert prediction.calibrated_confidence == pytest.approx(softmax([0.0, 1.5, 1.0])[1])


@pytest.mark.parametrize(
    ("logits", "entropy"),
    [
        pytest.param((2.0, 2.0, 2.0), 1.0, id="no idea"),
        pytest.param((-900.0, 900.0, -900.0), 0.0, id="sure"),
        pytest.param((-900.0, 5.0, 5.0), math.log(2) / math.log(3), id="two of three"),
        pytest.param((4.0,), 0.0, id="one label"),
    ],
)
def test_the_entropy_is_a_part_of_the_largest_possible(logits, entropy):
    assert answer(*logits).predictions[0].entropy == pytest.approx(entropy)


def test_every_label_has_its_own_series():
    assert TEXT_CLASSIFICATION.label_names(["B-x", "O"]) == ["B-x", "O"]


@pytest.mark.parametrize("parameters", [{}, {"top_k": 1}, {"function_to_apply": "none"}])
def test_an_answer_is_read_back_as_the_class_that_it_puts_first(parameters):
    """The comparator compares two models by it."""
    value = answer(0.5, 3.0, -1.0, **parameters).value
    (choice,) = TEXT_CLASSIFICATION.answer_format.read(value)
    assert ([*choice.classes.values()], choice.confidence) == (["neutral"], value[0]["score"])
