"""Features of text classification: which label, and how sure the model is of it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tuneloop_api.features.task_features import TaskFeatures

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tuneloop_api.features.task_features import Values


@dataclass(frozen=True, slots=True, kw_only=True)
class Certainty:
    """What the probabilities of one text say."""

    label: int
    """Class id of the most probable label."""
    confidence: float
    """Its probability."""
    entropy: float
    """Of the probabilities, as a part of the largest that so many labels can have: 0 is sure, 1 is no idea."""
    margin: float
    """Its probability minus that of the second label; 1 where there is only one."""


def softmax(logits: Sequence[float]) -> list[float]:
    """Return the softmax of logits, in double precision."""
    largest = max(logits)
    powers = [math.exp(logit - largest) for logit in logits]
    total = math.fsum(powers)
    return [power / total for power in powers]


def entropy_ratio(probabilities: Sequence[float]) -> float:
    """Return the entropy of a distribution, as a part of the largest that it can have: 0 is sure, 1 is no idea. [K] → 0 to 1; 0 for one label."""
    if len(probabilities) < 2:
        return 0.0
    entropy = -math.fsum(p * math.log(p) for p in probabilities if p > 0.0)
    return min(max(entropy / math.log(len(probabilities)), 0.0), 1.0)


def certainty_of(probabilities: list[float]) -> Certainty:
    """Return what the probabilities of one text, [C], say."""
    confidence = max(probabilities)
    label = probabilities.index(confidence)
    second = max(probabilities[:label] + probabilities[label + 1 :], default=0.0)
    return Certainty(
        label=label, confidence=confidence, entropy=entropy_ratio(probabilities), margin=confidence - second
    )


def certainty_values(certainty: Certainty, labels: Sequence[str]) -> Values:
    """Return the features of one text."""
    return {
        "predicted_label": labels[certainty.label],
        "confidence": certainty.confidence,
        "entropy": certainty.entropy,
        "margin": certainty.margin,
    }


def _values(logits: Sequence[Sequence[float]], labels: Sequence[str]) -> Values:
    (of_text,) = logits
    return certainty_values(certainty_of(softmax(of_text)), labels)


TEXT_CLASSIFICATION_FEATURES = TaskFeatures(
    numbers=("confidence", "entropy", "margin"), choices={"predicted_label": list}, values=_values
)
