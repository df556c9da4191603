"""Answers of question answering: `{"answer", "score", "start", "end"}`, or a list of such objects, the best first. An empty answer says that there is none.

A place is an answer as SQuAD's rules compare answers: in small letters, without punctuation and articles. Two answers agree if they match exactly. Places stay in the
memory of the comparator; what is counted by name is whether there is an answer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneloop_api.features.question_answering import normal_answer
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

ANSWER, NO_ANSWER = "answer", "no-answer"
"""The classes of a choice."""


def read(answer: object) -> list[Choice]:
    """Return the best answer of each question. Raises UnreadableAnswer.

    A list of objects is an answer for each question, or several for one, all of which are compared; of a list of lists the first of each is.
    """
    given = [answer] if isinstance(answer, dict) else answer
    lists = texts_of(given, element='{"answer", "score", "start", "end"}')
    if not all(lists):
        raise UnreadableAnswer("a question has no answer")
    is_nested = isinstance(given, list) and isinstance(given[0], list)
    return [_choice(items[0]) for items in lists] if is_nested else [_choice(item) for item in lists[0]]


def read_label(label: object, _labels: Sequence[str]) -> Classes:
    """Return the answer that is right; an empty text says that there is none. Raises UnreadableLabel."""
    if not isinstance(label, str):
        raise UnreadableLabel(
            'label is no text; expected the right answer, or "" where there is none; example: "Denver"'
        )
    return _classes(label)


def _choice(item: dict[str, object]) -> Choice:
    return Choice(classes=_classes(text_of(item, "answer")), confidence=score_of(item))


def _classes(text: str) -> Classes:
    place = normal_answer(text)
    return {place: ANSWER} if place else {place: NO_ANSWER}


def _names(_labels: Sequence[str]) -> list[str]:
    return [ANSWER, NO_ANSWER]


QUESTION_ANSWERING_ANSWERS = AnswerFormat(read=read, read_label=read_label, class_names=_names)
