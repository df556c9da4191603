"""The feature of text regression: the predicted number. There is no confidence."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneloop_api.features.task_features import TaskFeatures

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tuneloop_api.features.task_features import Values


def number_values(number: float) -> Values:
    """Return the feature of one text."""
    return {"predicted_value": number}


def _values(logits: Sequence[Sequence[float]], _labels: Sequence[str]) -> Values:
    ((number,),) = logits
    return number_values(number)


TEXT_REGRESSION_FEATURES = TaskFeatures(numbers=("predicted_value",), choices={}, values=_values)
