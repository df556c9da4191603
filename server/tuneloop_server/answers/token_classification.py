"""Answers of token classification: `[{"entity_group" | "entity", "score", "start", "end"}, …]`. An empty list says that the text has no entity.

A place is a span of characters. Two answers agree if they have the same entities. The confidence that all of them are right is at most the lowest
score among them; an answer without an entity has no score, and so no confidence.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneloop_api.features.token_classification import entity_type, entity_types
from tuneloop_server.answers.answer_format import (
    AnswerFormat,
    Choice,
    UnreadableAnswer,
    UnreadableLabel,
    score_of,
    text_of,
    texts_of,
)

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    from tuneloop_server.answers.answer_format import Classes

_LABEL = 'expected a list of entities; example: [{"entity_group": "PER", "start": 0, "end": 4}]'


def read(answer: object) -> list[Choice]:
    """Return the entities of each text. Raises UnreadableAnswer."""
    return [_choice(text) for text in texts_of(answer, element='{"entity_group", "score", "start", "end"}')]


def read_label(label: object, labels: Sequence[str]) -> Classes:
    """Return the entities that a label lists. Raises UnreadableLabel."""
    try:
        classes = {_place(item): text_of(item, "entity_group") for item in texts_of(label, element="entities")[0]}
    except UnreadableAnswer:
        raise UnreadableLabel(f"label cannot be read; {_LABEL}") from None
    if unknown := {*classes.values()} - {*entity_types(labels)}:
        allowed = ", ".join(entity_types(labels)[:10])
        raise UnreadableLabel(f"label has {len(unknown)} types of entities that the model has not; allowed: {allowed}")
    return classes


def _choice(entities: list[dict[str, object]]) -> Choice:
    scores = [score_of(item) for item in entities]
    classes = {_place(item): entity_type(text_of(item, "entity_group", "entity")) for item in entities}
    return Choice(classes=classes, confidence=min(scores, default=None))


def _place(item: dict[str, object]) -> Hashable:
    """Return where an entity stands. Single tokens may have a common span, but each has an index of its own."""
    start, end, index = item.get("start"), item.get("end"), item.get("index")
    if not isinstance(start, int) or not isinstance(end, int):
        raise UnreadableAnswer("an entity has no whole numbers in start and end")
    return (start, end, index) if isinstance(index, int) else (start, end)


TOKEN_CLASSIFICATION_ANSWERS = AnswerFormat(read=read, read_label=read_label, class_names=entity_types)
