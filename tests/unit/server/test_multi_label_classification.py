"""Text classification with several labels: scores that do not exclude each other, and a prediction for each label above one half."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tuneloop_api.features.multi_label_classification import MULTI_LABEL_FEATURES, sigmoid
from tuneloop_server.model import Encoded, Window
from tuneloop_server.tasks.multi_label_classification import MULTI_LABEL_CLASSIFICATION as TASK
from tuneloop_server.tasks.task import ModelFacts

FACTS = ModelFacts(labels=("anger", "joy", "love"), temperature=2.0, vocabulary=None)


def answer(*logits: float, **parameters):
    window = Window(Encoded(ids=[2, 3]), np.array(logits, dtype=np.float32))
    return TASK.answer("a text", [window], TASK.read_parameters(parameters), FACTS)


def share(logit: float) -> float:
    return 1 / (1 + math.exp(-logit))


def test_a_text_gets_the_sigmoid_of_each_label_the_highest_first():
    assert answer(-1.0, 2.0, 0.5).value == [
        {"label": "joy", "score": pytest.approx(share(2.0))},
        {"label": "love", "score": pytest.approx(share(0.5))},
        {"label": "anger", "score": pytest.approx(share(-1.0))},
    ]


@pytest.mark.parametrize(
    ("parameters", "scores"),
    [
        pytest.param({"top_k": 1}, [share(2.0)], id="top_k"),
        pytest.param({"function_to_apply": "none"}, [2.0, 0.5, -1.0], id="logits"),
        pytest.param(
            {"function_to_apply": "softmax", "top_k": 1},
            [math.exp(2) / (math.exp(2) + math.exp(0.5) + math.exp(-1))],
            id="softmax",
        ),
    ],
)
def test_a_client_may_ask_for_other_scores(parameters, scores):
    assert [item["score"] for item in answer(-1.0, 2.0, 0.5, **parameters).value] == pytest.approx(scores)


def test_each_label_above_one_half_is_a_prediction_and_its_confidence_is_its_own():
    joy, love = answer(-1.0, 2.0, 0.5, top_k=1).predictions
    assert (joy.label, love.label) == ("joy", "love")
    assert (joy.confidence, joy.calibrated_confidence) == pytest.approx((share(2.0), share(1.0)))
    assert 0 < joy.entropy < love.entropy < 1


def test_a_text_of_no_label_has_no_prediction_and_still_all_scores():
    found = answer(-1.0, -2.0, 0.0)
    assert found.predictions == []
    assert len(found.value) == 3


def test_the_features_of_an_answer_are_those_that_export_counts():
    logits = (-1.0, 2.0, 0.5)
    expected = {"predicted_label": "joy", "predicted_labels": 2.0, "confidence": pytest.approx(share(2.0))}
    assert answer(*logits).features() == MULTI_LABEL_FEATURES.values([logits], FACTS.labels) == expected
    assert {*expected} == {*MULTI_LABEL_FEATURES.names}


def test_the_tensor_has_the_scores_in_the_order_of_the_labels():
    (tensor,) = TASK.tensors.outputs
    assert tensor.row(answer(-1.0, 2.0, 0.5).value, FACTS.labels) == pytest.approx(
        [share(-1.0), share(2.0), share(0.5)]
    )


def test_a_sigmoid_of_any_logit_is_a_probability():
    assert sigmoid([-1e308, 0.0, 1e308]) == [0.0, 0.5, 1.0]


def test_no_text_has_the_one_label_that_feedback_is_of():
    assert not TASK.has_one_label
