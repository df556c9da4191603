"""How a text becomes the inputs of a model: the rules that trainer and server share.

The rules are applied where the library of the tokenizers is at hand: `tuneloop_trainer.models.tokenizer`, `tuneloop_server.runtimes.tokenizer`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

MODEL_INPUTS = ("input_ids", "attention_mask")
"""What a model gets, in training, evaluation, export and serving: the tokens, and which of them are no padding.

Nothing else: `token_type_ids` tell a pair of texts apart, and a text alone has no second part. The published tokenizer names these inputs, and
whoever loads it gives its model no others.
"""


def breaking_pattern(tokens: Iterable[str]) -> str | None:
    """Return a regular expression for the first character of each token, wherever a text holds the whole token; None: no token can be broken.

    A pre-tokenizer that splits a text behind each match keeps the model of the tokenizer from seeing a whole token. Other texts stay as they are.
    A token of one character cannot be broken.
    """
    parts = [f"{re.escape(token[0])}(?={re.escape(token[1:])})" for token in sorted(tokens) if len(token) > 1]
    return "|".join(parts) or None


TYPE_IDS = "token_type_ids"
"""A further input where a question and its context are a pair, and the tokenizer names it: 0 for the question, 1 for the context."""


def question_text(question: str, context: str) -> str:
    """Return a question and its context as one text: the first line is the question. Line breaks of the question become spaces."""
    return f"{question.replace(_LINE_BREAK, ' ')}{_LINE_BREAK}{context}"


def split_question(text: str) -> tuple[str, str]:
    """Return the question and the context of a text; the context is empty where there is one line alone."""
    question, _, context = text.partition(_LINE_BREAK)
    return question, context


_LINE_BREAK = "\n"


def context_room(most: int, *, fixed: int) -> int:
    """Return how many tokens of a context a window of `most` tokens holds beside the question and special tokens (fixed); 0 if the question is too long.

    A question may take three quarters of a window: with less room for it, a long context would make windows without number.
    """
    room = most - fixed
    return room if 4 * room >= most else 0


def context_windows(tokens: int, *, room: int, stride: int) -> list[tuple[int, int]]:
    """Return which tokens of a context each window holds, from and to (exclusive); at least one window, and every token is in one.

    tokens: of the context. room: that a window has for them, at least 1. stride: tokens that two neighbouring windows share, at most half of the room: so two
    windows have one token at least that no other has.
    """
    step = room - min(stride, room // 2, room - 1)
    starts = [0]
    while starts[-1] + room < tokens:
        starts.append(starts[-1] + step)
    return [(start, min(start + room, tokens)) for start in starts]
