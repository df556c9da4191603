"""Answers of text regression: `[{"label": "LABEL_0", "score": number}]`.

There is no class. Two answers agree if the numbers of all texts lie within the tolerance: two trainings never give the same number. No number is right
or wrong by itself, so golden rows have no label.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

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

TOLERANCE_SHARE = 0.1
"""Of the standard deviation of the numbers that the stable model learned from: numbers that lie no further apart agree."""


def read(answer: object) -> list[Choice]:
    """Return the number of each text. Raises UnreadableAnswer."""
    return [_choice(text) for text in texts_of(answer, element='{"label", "score"}')]


def read_label(_label: object, _labels: Sequence[str]) -> NoReturn:
    """Raises UnreadableLabel: a number is near or far, and not right."""
    raise UnreadableLabel(
        "label says what is right, and a number is near or far; leave label out of the golden rows of a regression"
    )


def _choice(text: list[dict[str, object]]) -> Choice:
    if len(text) != 1:
        raise UnreadableAnswer(f"a text has {len(text)} numbers, expected one")
    text_of(text[0], "label")
    return Choice(classes={}, confidence=None, number=score_of(text[0]))


TEXT_REGRESSION_ANSWERS = AnswerFormat(read=read, read_label=read_label, class_names=lambda _: [])
