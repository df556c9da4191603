"""A number for each text: `[{"label": "LABEL_0", "score": number}]`, in the unit of the training data.

Parameters and response are those of `pipeline("text-classification")(text, top_k=None, function_to_apply="none")` for a model whose `problem_type` is
`regression`. No other function makes sense of a number that is no logit: clients who ask for one are refused.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from tuneloop_api.features.text_regression import TEXT_REGRESSION_FEATURES, number_values
from tuneloop_server.answers.text_regression import TEXT_REGRESSION_ANSWERS
from tuneloop_server.fields import choice
from tuneloop_server.tasks.task import Answer, OutputTensor, Tensors
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
    choice("parameters.function_to_apply", given.get("function_to_apply", "none"), ("none",))
    return read_parameters({**given, "function_to_apply": "none"})


def answer(_: str, windows: Sequence[Window], parameters: TextClassificationParameters, facts: ModelFacts) -> Answer:
    """Return the number. It is no prediction of a label: nothing is counted of labels and of confidence."""
    numbers: list[float] = windows[0].logits.tolist()
    value = best_scores(numbers, parameters, facts.labels)
    return Answer(value=value, predictions=[], features=partial(number_values, numbers[0]))


TEXT_REGRESSION = replace(
    TEXT_CLASSIFICATION,
    name="text-classification/regression",
    read_parameters=_read_parameters,
    answer=answer,
    features=TEXT_REGRESSION_FEATURES,
    answer_format=TEXT_REGRESSION_ANSWERS,
    has_one_label=False,
    tensors=Tensors(
        outputs=(OutputTensor(name="scores", datatype="FP32", row=scores_by_label, is_by_label=True),),
        refused_parameters={"top_k": "the tensor scores has the number"},
    ),
)
