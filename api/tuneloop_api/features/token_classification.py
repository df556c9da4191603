"""Features of token classification: how much of a text belongs to entities, of which type, and how sure the model is.

A target is a word, at its first token; a word is what stands between two spaces. So a text gives one value of each feature, however many
entities it has: entities of one text are not independent, and the test that compares bins counts independent texts.
"""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING

from tuneloop_api.features.task_features import TaskFeatures

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tuneloop_api.features.task_features import Values

OUTSIDE = "O"
"""The tag of words that belong to no entity."""
NO_ENTITY = "O"
"""The choice of `entity_type` for a text without an entity: no type has this name."""


def entity_type(label: str) -> str:
    """Return the type that a tag stands for: PER for B-PER."""
    return label.split("-", 1)[-1]


def entity_types(labels: Sequence[str]) -> list[str]:
    """Return the types of entities, in the order of the labels: PER for B-PER and I-PER; not O."""
    return [name for name in dict.fromkeys(map(entity_type, labels)) if name != OUTSIDE]


def _values(logits: Sequence[Sequence[float]], labels: Sequence[str]) -> Values:
    """Return the features of a text from the logits of its words, [words, C]. A text without words has none."""
    if not logits:
        return {}
    types, confidences = list[str](), list[float]()
    for of_word in logits:
        largest = max(of_word)
        label = labels[of_word.index(largest)]
        if label != OUTSIDE:
            types.append(entity_type(label))
        confidences.append(1.0 / math.fsum([math.exp(logit - largest) for logit in of_word]))
    return {
        "entity_words": len(types) / len(logits),
        "entity_type": Counter(types).most_common(1)[0][0] if types else NO_ENTITY,
        "confidence": math.fsum(confidences) / len(confidences),
        "lowest_confidence": min(confidences),
    }


TOKEN_CLASSIFICATION_FEATURES = TaskFeatures(
    numbers=("entity_words", "confidence", "lowest_confidence"),
    choices={"entity_type": lambda labels: [NO_ENTITY, *entity_types(labels)]},
    values=_values,
)
