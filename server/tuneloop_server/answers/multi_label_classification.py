"""Answers of text classification with several labels: `[{"label", "score"}, …]`. The labels with a score above one half were chosen, perhaps none.

A place is a label. Two answers agree if they choose the same labels for all texts. The confidence that the whole set is right is that of the label
which the model is least sure of, whether it was chosen or not.

An answer does not say which function made its scores. With `function_to_apply: none` scores are logits, and above one half means more than it does
with the sigmoid; it does so for both revisions alike.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneloop_api.features.multi_label_classification import THRESHOLD
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


def read(answer: object) -> list[Choice]:
    """Return the labels of each text. Raises UnreadableAnswer."""
    return [_choice(text) for text in texts_of(answer, element='{"label", "score"}')]


def read_label(label: object, labels: Sequence[str]) -> Classes:
    """Return the labels that a list names. Raises UnreadableLabel."""
    example = f'example: ["{labels[0]}"], or [] for none'
    if not isinstance(label, list) or not all(isinstance(name, str) for name in label):
        raise UnreadableLabel(f"label is no list of labels; {example}")
    if len(set(label)) < len(label):
        raise UnreadableLabel(f"label has a label twice; {example}")
    if unknown := set(label) - set(labels):
        shown = ", ".join(labels[:_MOST_SHOWN]) + (", …" if len(labels) > _MOST_SHOWN else "")
        raise UnreadableLabel(
            f"label has {len(unknown)} that are none of the model's {len(labels)} labels; allowed: {shown}; {example}"
        )
    return {name: name for name in label}


def _choice(text: list[dict[str, object]]) -> Choice:
    scores = {text_of(item, "label"): score_of(item) for item in text}
    if not scores:
        raise UnreadableAnswer("a text has no label")
    return Choice(
        classes={label: label for label, score in scores.items() if score > THRESHOLD},
        confidence=min(max(score, 1.0 - score) for score in scores.values()),
    )


MULTI_LABEL_ANSWERS = AnswerFormat(read=read, read_label=read_label, class_names=list)
