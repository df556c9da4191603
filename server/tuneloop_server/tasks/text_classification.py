"""Text classification: the scores of all labels for a text.

`parameters`: `{"top_k": int, "function_to_apply": "softmax" | "sigmoid" | "none"}`. A text is answered with `[{"label", "score"}, …]`, the best
label first, all labels without `top_k`.
Source: https://huggingface.co/docs/inference-providers/tasks/text-classification, which is also what
`pipeline("text-classification")(text, top_k=None)` returns.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from tuneloop_api.features.multi_label_classification import sigmoid
from tuneloop_api.features.text_classification import (
    TEXT_CLASSIFICATION_FEATURES,
    certainty_of,
    certainty_values,
    softmax,
)
from tuneloop_server.answers.text_classification import TEXT_CLASSIFICATION_ANSWERS
from tuneloop_server.fields import check_known, choice, whole_number
from tuneloop_server.tasks.task import Answer, OutputTensor, Prediction, Task, Tensors

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from tuneloop_server.model import Window
    from tuneloop_server.tasks.task import ModelFacts

_FUNCTIONS = ("softmax", "sigmoid", "none")


@dataclass(frozen=True, kw_only=True)
class TextClassificationParameters:
    """How many labels a client wants, and which function makes scores of logits."""

    top_k: int | None = None
    """None: all labels."""
    function_to_apply: str = "softmax"


def read_parameters(given: Mapping[str, object]) -> TextClassificationParameters:
    """Return the parameters. Raises RequestError naming the field that is wrong."""
    check_known(given, ("top_k", "function_to_apply"), prefix="parameters.")
    top_k: int | None = None
    if "top_k" in given:
        expected = "expected a whole number from 1, or null for all labels; for example 2"
        top_k = whole_number("parameters.top_k", given["top_k"], least=1, expected=expected)
    function = choice("parameters.function_to_apply", given.get("function_to_apply", "softmax"), _FUNCTIONS)
    return TextClassificationParameters(top_k=top_k, function_to_apply=function)


def answer(_: str, windows: Sequence[Window], parameters: TextClassificationParameters, facts: ModelFacts) -> Answer:
    """Return the best labels with their scores. The prediction is the most probable label."""
    logits: list[float] = windows[0].logits.tolist()
    probabilities = softmax(logits)
    certainty = certainty_of(probabilities)
    prediction = Prediction(
        label=facts.labels[certainty.label],
        confidence=certainty.confidence,
        calibrated_confidence=max(softmax([logit / facts.temperature for logit in logits])),
        entropy=certainty.entropy,
    )
    value = best_scores(logits, parameters, facts.labels)
    return Answer(value=value, predictions=[prediction], features=partial(certainty_values, certainty, facts.labels))


def best_scores(
    logits: list[float], parameters: TextClassificationParameters, labels: Sequence[str]
) -> list[dict[str, object]]:
    """Return as many labels as the client asked for with the scores that it asked for, the highest first."""
    functions: dict[str, Callable[[list[float]], list[float]]] = {"softmax": softmax, "sigmoid": sigmoid, "none": list}
    scores = functions[parameters.function_to_apply](logits)
    best_first = sorted(range(len(scores)), key=scores.__getitem__, reverse=True)
    return [{"label": labels[index], "score": scores[index]} for index in best_first[: parameters.top_k]]


def scores_by_label(value: list[dict[str, Any]], labels: Sequence[str]) -> list[float]:
    """Return the scores of a response in the order of the labels' ids."""
    scores = {element["label"]: element["score"] for element in value}
    return [scores[label] for label in labels]


TENSORS = Tensors(
    outputs=(
        OutputTensor(name="label", datatype="BYTES", row=lambda value, _: [value[0]["label"]]),
        OutputTensor(name="score", datatype="FP32", row=lambda value, _: [value[0]["score"]]),
        OutputTensor(name="scores", datatype="FP32", row=scores_by_label, is_by_label=True),
    ),
    refused_parameters={"top_k": "the tensor scores has all labels"},
)
"""The best label of each text, its score, and the scores of all labels."""

TEXT_CLASSIFICATION = Task(
    name="text-classification",
    auto_class="AutoModelForSequenceClassification",
    needs_offsets=False,
    read_parameters=read_parameters,
    answer=answer,
    features=TEXT_CLASSIFICATION_FEATURES,
    answer_format=TEXT_CLASSIFICATION_ANSWERS,
    has_one_label=True,
    tensors=TENSORS,
)
