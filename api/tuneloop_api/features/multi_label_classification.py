"""Features of text classification with several labels: how many labels, which one the model is surest of, and how sure."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from tuneloop_api.features.task_features import TaskFeatures

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tuneloop_api.features.task_features import Values

THRESHOLD = 0.5
"""A label whose probability is above this is predicted."""


def sigmoid(logits: Sequence[float]) -> list[float]:
    """Return the sigmoid of each logit, in double precision and without overflow."""
    return [0.5 * (1.0 + math.tanh(0.5 * logit)) for logit in logits]


def label_values(probabilities: Sequence[float], labels: Sequence[str]) -> Values:
    """Return the features of one text. probabilities: of each label, [C]."""
    highest = max(range(len(probabilities)), key=probabilities.__getitem__)
    return {
        "predicted_label": labels[highest],
        "predicted_labels": float(sum(probability > THRESHOLD for probability in probabilities)),
        "confidence": probabilities[highest],
    }


def _values(logits: Sequence[Sequence[float]], labels: Sequence[str]) -> Values:
    (of_text,) = logits
    return label_values(sigmoid(of_text), labels)


MULTI_LABEL_FEATURES = TaskFeatures(
    numbers=("confidence", "predicted_labels"), choices={"predicted_label": list}, values=_values
)
