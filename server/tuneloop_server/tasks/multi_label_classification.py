"""Text classification with several labels: the score of each label for a text, independent of the others.

Parameters and response are those of text classification with one label; scores are sigmoids of the logits where the client names no function, as in
`pipeline("text-classification")(text, top_k=None)` for a model whose `problem_type` is `multi_label_classification`. The response has all labels: one
that is predicted has a score above 0.5.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from tuneloop_api.features.multi_label_classification import MULTI_LABEL_FEATURES, THRESHOLD, label_values, sigmoid
from tuneloop_api.features.text_classification import entropy_ratio
from tuneloop_server.answers.multi_label_classification import MULTI_LABEL_ANSWERS
from tuneloop_server.tasks.task import Answer, OutputTensor, Prediction, Tensors
from tuneloop_server.tasks.text_classification import (
    TEXT_CLASSIFICATION,
    TextClassificationParameters,
    best_scores,
    read_parameters,
    scores_by_label,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tuneloop_server.model import Window
    from tuneloop_server.tasks.task import ModelFacts


def _read_parameters(given: Mapping[str, object]) -> TextClassificationParameters:
    return read_parameters({"function_to_apply": "sigmoid", **given})


def answer(_: str, windows: Sequence[Window], parameters: TextClassificationParameters, facts: ModelFacts) -> Answer:
    """Return the labels with their scores, the highest first. Each label with a probability above one half is a prediction."""
    logits: list[float] = windows[0].logits.tolist()
    probabilities = sigmoid(logits)
    calibrated = sigmoid([logit / facts.temperature for logit in logits])
    predictions = [
        Prediction(
            label=label,
            confidence=probability,
            calibrated_confidence=calibrated_probability,
            entropy=entropy_ratio([probability, 1.0 - probability]),
        )
        for label, probability, calibrated_probability in zip(facts.labels, probabilities, calibrated, strict=True)
        if probability > THRESHOLD
    ]
    return Answer(
        value=best_scores(logits, parameters, facts.labels),
        predictions=predictions,
        features=partial(label_values, probabilities, facts.labels),
    )


MULTI_LABEL_CLASSIFICATION = replace(
    TEXT_CLASSIFICATION,
    name="text-classification/multi-label",
    read_parameters=_read_parameters,
    answer=answer,
    features=MULTI_LABEL_FEATURES,
    answer_format=MULTI_LABEL_ANSWERS,
    has_one_label=False,
    tensors=Tensors(
        outputs=(OutputTensor(name="scores", datatype="FP32", row=scores_by_label, is_by_label=True),),
        refused_parameters={"top_k": "the tensor scores has all labels"},
    ),
)
