"""Text regression: a number for each text, without a label that is counted and without confidence; agreement within a tolerance."""

from __future__ import annotations

import json

import numpy as np
import pytest

from tuneloop_api.features.text_regression import TEXT_REGRESSION_FEATURES
from tuneloop_server.answers.answer_format import UnreadableAnswer, UnreadableLabel
from tuneloop_server.answers.text_regression import TEXT_REGRESSION_ANSWERS as ANSWERS
from tuneloop_server.comparator.replies import Reply
from tuneloop_server.comparator.served_models import _tolerance
from tuneloop_server.comparator.verdicts import Verdict, compared, side_of
from tuneloop_server.errors import RequestError
from tuneloop_server.model import Encoded, Window
from tuneloop_server.tasks.task import ModelFacts
from tuneloop_server.tasks.text_regression import TEXT_REGRESSION as TASK

FACTS = ModelFacts(labels=("LABEL_0",), temperature=1.0, vocabulary=None)


def answer(number: float, **parameters):
    window = Window(Encoded(ids=[2, 3]), np.array([number], dtype=np.float32))
    return TASK.answer("a text", [window], TASK.read_parameters(parameters), FACTS)


@pytest.mark.parametrize("parameters", [{}, {"function_to_apply": "none"}, {"top_k": 1}])
def test_a_text_gets_its_number_as_it_is(parameters):
    assert answer(-12.5, **parameters).value == [{"label": "LABEL_0", "score": -12.5}]


@pytest.mark.parametrize("function", ["softmax", "sigmoid"])
def test_a_function_of_logits_is_refused(function):
    with pytest.raises(RequestError, match="allowed are none"):
        answer(1.0, function_to_apply=function)


def test_a_number_is_no_prediction_of_a_label_and_gets_no_feedback():
    assert answer(3.0).predictions == []
    assert TASK.label_names(FACTS.labels) == []
    assert not TASK.has_one_label


def test_the_feature_of_an_answer_is_the_one_that_export_counts():
    assert answer(2.5).features() == TEXT_REGRESSION_FEATURES.values([[2.5]], FACTS.labels) == {"predicted_value": 2.5}
    assert TEXT_REGRESSION_FEATURES.names == ("predicted_value",)


def test_the_tensor_has_the_number():
    (tensor,) = TASK.tensors.outputs
    assert (tensor.name, tensor.is_by_label) == ("scores", True)
    assert tensor.row(answer(2.5).value, FACTS.labels) == [2.5]


def side(*numbers: float):
    body = json.dumps([[{"label": "LABEL_0", "score": number}] for number in numbers]).encode()
    return side_of(Reply(body=body, seconds=0.1), ANSWERS)


@pytest.mark.parametrize(
    ("stable", "canary", "tolerance", "verdict"),
    [
        ([10.0], [10.5], 0.5, Verdict.AGREE),
        ([10.0], [9.5], 0.5, Verdict.AGREE),
        ([10.0], [10.51], 0.5, Verdict.DISAGREE),
        ([10.0], [9.49], 0.5, Verdict.DISAGREE),
        ([10.0, 1.0], [10.0, 2.0], 0.5, Verdict.DISAGREE),
        ([10.0], [10.0], 0.0, Verdict.AGREE),
    ],
)
def test_answers_agree_whose_numbers_all_lie_within_the_tolerance(stable, canary, tolerance, verdict):
    found = compared(side(*stable), side(*canary), tolerance=tolerance)
    assert (found.verdict, found.flips) == (verdict, ())


def test_answers_to_different_numbers_of_texts_disagree():
    assert compared(side(1.0), side(1.0, 1.0), tolerance=9.0).verdict is Verdict.DISAGREE


def test_the_tolerance_is_a_tenth_of_the_standard_deviation_that_the_server_names():
    assert _tolerance({"targetScale": {"mean": 1000.0, "std": 30.0}}) == pytest.approx(3.0)
    assert _tolerance({"task": "text-classification"}) == 0.0


@pytest.mark.parametrize(
    "text", [[], [{"label": "LABEL_0"}], [{"label": "LABEL_0", "score": True}], [{"label": "a", "score": 1}] * 2]
)
def test_an_answer_without_exactly_one_number_cannot_be_read(text):
    with pytest.raises(UnreadableAnswer):
        ANSWERS.read([text])


def test_a_golden_row_has_no_label():
    with pytest.raises(UnreadableLabel, match="leave label out"):
        ANSWERS.read_label(3.0, FACTS.labels)
