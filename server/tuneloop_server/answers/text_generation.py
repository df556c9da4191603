"""Answers of text generation: `[{"generated_text": …}]`.

Two answers agree if they are the same text, white space apart. What is compared is a digest: an answer may hold a user's words. There is no confidence.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from tuneloop_server.answers.answer_format import (
    AnswerFormat,
    Choice,
    UnreadableAnswer,
    UnreadableLabel,
    text_of,
    texts_of,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tuneloop_server.answers.answer_format import Classes

_WHOLE_TEXT = 0


def read(answer: object) -> list[Choice]:
    """Return the answer to each text. Raises UnreadableAnswer."""
    return [_choice(text) for text in texts_of(answer, element='{"generated_text"}')]


def read_label(label: object, _labels: Sequence[str]) -> Classes:
    """Return the answer that would be right. Raises UnreadableLabel."""
    if isinstance(label, str):
        return _classes(label)
    raise UnreadableLabel("label is no text; expected the whole answer that would be right, such as Paris")


def _choice(text: list[dict[str, object]]) -> Choice:
    if len(text) != 1:
        raise UnreadableAnswer(f"a text has {len(text)} answers, expected one")
    return Choice(classes=_classes(text_of(text[0], "generated_text")), confidence=None)


def _classes(text: str) -> Classes:
    return {_WHOLE_TEXT: hashlib.sha256(" ".join(text.split()).encode()).hexdigest()}


TEXT_GENERATION_ANSWERS = AnswerFormat(read=read, read_label=read_label, class_names=lambda _: [])
