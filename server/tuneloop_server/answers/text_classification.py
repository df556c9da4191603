"""Answers of text classification: `[{"label", "score"}, …]`. The class with the highest score is what was chosen; its score is the confidence."""

from __future__ import annotations

from typing import TYPE_CHECKING

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
    from collections.abc import Sequence

    from tuneloop_server.answers.answer_format import Classes

_MOST_SHOWN = 10
_WHOLE_TEXT = 0


def read(answer: object) -> list[Choice]:
    """Return the class of each text. Raises UnreadableAnswer."""
    return [_best(text) for text in texts_of(answer, element='{"label", "score"}')]


def read_label(label: object, labels: Sequence[str]) -> Classes:
    """Return the class that a label names. Raises UnreadableLabel."""
    if isinstance(label, str) and label in labels:
        return {_WHOLE_TEXT: label}
    shown = ", ".join(labels[:_MOST_SHOWN]) + (", …" if len(labels) > _MOST_SHOWN else "")
    raise UnreadableLabel(f"label is none of the model's {len(labels)} labels; allowed: {shown}; example: {labels[0]}")


def _best(text: list[dict[str, object]]) -> Choice:
    scores = [(score_of(item), text_of(item, "label")) for item in text]
    if not scores:
        raise UnreadableAnswer("a text has no label")
    score, label = max(scores, key=lambda scored: scored[0])
    return Choice(classes={_WHOLE_TEXT: label}, confidence=score)


TEXT_CLASSIFICATION_ANSWERS = AnswerFormat(read=read, read_label=read_label, class_names=list)
