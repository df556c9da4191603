"""Answers of text generation: `[{"generated_text": …, "details": …}]`, and OpenAI's `{"choices": […], "usage": …}` of a chat or of a completion.

Two answers agree if they are the same text, white space apart; how alike others are, `rouge_l` says. There is no confidence.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from tuneloop_server.answers.answer_format import (
    AnswerFormat,
    Choice,
    Generating,
    UnreadableAnswer,
    UnreadableLabel,
    text_of,
    texts_of,
)
from tuneloop_server.answers.generated import GeneratedText, ending_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tuneloop_server.answers.answer_format import Classes

_WHOLE_TEXT = 0
_MOST_TOKENS = 10_000_000
"""More is no count of tokens: sums of them must stay numbers that every reader of JSON takes."""


def read(answer: object) -> list[Choice]:
    """Return the answer to each text. Raises UnreadableAnswer."""
    if isinstance(answer, dict):
        return [_completion(answer)]
    return [_choice(text) for text in texts_of(answer, element='{"generated_text"}')]


def read_label(label: object, _labels: Sequence[str]) -> Classes:
    """Return the answer that would be right. Raises UnreadableLabel."""
    if isinstance(label, str):
        return _classes(label)
    raise UnreadableLabel("label is no text; expected the whole answer that would be right, such as Paris")


def _choice(text: list[dict[str, object]]) -> Choice:
    if len(text) != 1:
        raise UnreadableAnswer(f"a text has {len(text)} answers, expected one")
    details = text[0].get("details")
    known = details if isinstance(details, dict) else {}
    return _generated(
        text_of(text[0], "generated_text"), finish=known.get("finish_reason"), tokens=known.get("generated_tokens")
    )


def _completion(answer: dict[str, object]) -> Choice:
    """Return what a chat or a completion of OpenAI's API says."""
    choices = answer.get("choices")
    if not isinstance(choices, list) or len(choices) != 1 or not isinstance(choices[0], dict):
        raise UnreadableAnswer("the answer has no single element in choices")
    choice, usage = choices[0], answer.get("usage")
    finish, tokens = choice.get("finish_reason"), usage.get("completion_tokens") if isinstance(usage, dict) else None
    message = choice.get("message")
    if not isinstance(message, dict):
        return _generated(text_of(choice, "text"), finish=finish, tokens=tokens)
    refusal = message.get("refusal")
    text = refusal if isinstance(refusal, str) and message.get("content") is None else text_of(message, "content")
    return _generated(text, finish=finish, tokens=tokens, refusal=refusal)


def _generated(text: str, *, finish: object, tokens: object, refusal: object = None) -> Choice:
    is_count = isinstance(tokens, int) and not isinstance(tokens, bool) and 0 < tokens <= _MOST_TOKENS
    generated = GeneratedText(
        text=text,
        ending=ending_of(text, finish, refusal=refusal),
        tokens=tokens if is_count else None,  # type: ignore[arg-type]
    )
    return Choice(classes=_classes(text), confidence=None, generated=generated)


def _classes(text: str) -> Classes:
    return {_WHOLE_TEXT: hashlib.sha256(" ".join(text.split()).encode(errors="surrogatepass")).hexdigest()}


TEXT_GENERATION_ANSWERS = AnswerFormat(
    read=read,
    read_label=read_label,
    class_names=lambda _: [],
    generating=Generating(
        parameters={"details": True, "return_full_text": False}, greedy={"do_sample": False}, is_drawn=True
    ),
)
