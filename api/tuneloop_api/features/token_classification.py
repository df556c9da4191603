"""Features of token classification: how much of a text belongs to entities, of which type, and how sure the model is.

A target is a word, at its first token; a word is what stands between two spaces. So a text gives one value of each feature, however many
entities it has: entities of one text are not independent, and the test that compares bins counts independent texts.
"""

from __future__ import annotations

import math
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


def word_values(tags: Sequence[int], confidences: Sequence[float], labels: Sequence[str]) -> Values:
    """Return the features of a text. tags: class id of each word; confidences: their probabilities. A text without words has no features."""
    if not tags:
        return {}
    words: dict[int, int] = {}
    for tag in tags:  # a loop, for a Counter takes longer to make than a text has words
        words[tag] = words.get(tag, 0) + 1
    types: dict[str, int] = {}
    for tag, count in words.items():
        if labels[tag] != OUTSIDE:
            found = entity_type(labels[tag])
            types[found] = types.get(found, 0) + count
    return {
        "entity_words": sum(types.values()) / len(tags),
        "entity_type": max(types, key=types.__getitem__) if types else NO_ENTITY,
        "confidence": math.fsum(confidences) / len(confidences),
        "lowest_confidence": min(confidences),
    }


def _values(logits: Sequence[Sequence[float]], labels: Sequence[str]) -> Values:
    """Return the features of a text from the logits of its words, [words, C]."""
    largest = [max(of_word) for of_word in logits]
    tags = [of_word.index(most) for of_word, most in zip(logits, largest, strict=True)]
    confidences = [
        1.0 / math.fsum(math.exp(logit - most) for logit in of_word)
        for of_word, most in zip(logits, largest, strict=True)
    ]
    return word_values(tags, confidences, labels)


TOKEN_CLASSIFICATION_FEATURES = TaskFeatures(
    numbers=("entity_words", "confidence", "lowest_confidence"),
    choices={"entity_type": lambda labels: [NO_ENTITY, *entity_types(labels)]},
    values=_values,
    has_projections=False,  # they would take 2.6 % of the passes
)
