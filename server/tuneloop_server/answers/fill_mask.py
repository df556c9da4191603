"""Answers of fill-mask: `[{"score", "token_str", …}, …]` for a text with one mask token, a list of such lists for one with several.

A place is a mask token, its class the token with the highest score. Two answers agree if they choose the same tokens for all mask tokens. The confidence that
all of them are right is at most the lowest of their scores.

The answer for one text with several mask tokens looks like that for several texts with one mask token each, and is read as the former. Both are compared alike: all
tokens or nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneloop_server.answers.answer_format import (
    AnswerFormat,
    Choice,
    UnreadableAnswer,
    UnreadableLabel,
    score_of,
    text_of,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tuneloop_server.answers.answer_format import Classes

_LABEL = 'expected the token of the mask, or a list with the token of each mask; example: "good", or ["good", "film"]'


def read(answer: object) -> list[Choice]:
    """Return the tokens of each text. Raises UnreadableAnswer."""
    texts = answer if isinstance(answer, list) and _is_of_several_texts(answer) else [answer]
    return [_choice(text) for text in texts]


def read_label(label: object, _labels: Sequence[str]) -> Classes:
    """Return the tokens that a label names. Raises UnreadableLabel."""
    tokens = [label] if isinstance(label, str) else label
    if not isinstance(tokens, list) or not tokens or not all(isinstance(token, str) and token for token in tokens):
        raise UnreadableLabel(f"label cannot be read; {_LABEL}")
    return {place: token.strip() for place, token in enumerate(tokens)}


def _is_of_several_texts(answer: object) -> bool:
    """Tell whether some part of an answer is a list of lists: the masks of one text among several."""
    parts = answer if isinstance(answer, list) else []
    return any(isinstance(item, list) for part in parts if isinstance(part, list) for item in part)


def _choice(text: object) -> Choice:
    masks = text if isinstance(text, list) and text and isinstance(text[0], list) else [text]
    best = [_best(mask) for mask in masks]
    return Choice(
        classes={place: token for place, (_, token) in enumerate(best)}, confidence=min(score for score, _ in best)
    )


def _best(mask: object) -> tuple[float, str]:
    if not isinstance(mask, list) or not mask or not all(isinstance(item, dict) for item in mask):
        raise UnreadableAnswer('a mask has no list of {"score", "token_str"}')
    score, token = max(((score_of(item), text_of(item, "token_str")) for item in mask), key=lambda scored: scored[0])
    return score, token.strip()


FILL_MASK_ANSWERS = AnswerFormat(read=read, read_label=read_label, class_names=lambda _: [])
