"""Makes one text of a conversation by the chat template of a tokenizer, and finds what the assistant says in it.

A template may mark what the assistant writes with `{% generation %}`. For others the text is compared with that of the conversation before each answer: what an answer
adds is the assistant's. Both texts must begin alike, else the model would be asked something else when it answers than what it has learned.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ASSISTANT = "assistant"
_MARK = re.compile(r"\{%-?\s*generation\s*-?%\}")


class TemplateFailsError(Exception):
    """The chat template makes no text of a conversation, or none that its answers can be found in."""


@dataclass(frozen=True, kw_only=True)
class Conversation:
    """A conversation as the model reads it."""

    text: str
    answers: tuple[tuple[int, int], ...]
    """Characters of `text` that the assistant writes, from and to: its turns in order, each with what ends it."""


def conversation_of(tokenizer: Any, messages: Sequence[Mapping[str, str]]) -> Conversation:
    """Return the text of a conversation. tokenizer: one with a chat template. Raises TemplateFailsError."""
    if _MARK.search(tokenizer.chat_template):
        return _marked(tokenizer, messages)
    text, answers = _rendered(tokenizer, messages), []
    for index, message in enumerate(messages):
        if message["role"] == ASSISTANT:
            before = _rendered(tokenizer, messages[:index], is_asked=True)
            after = _rendered(tokenizer, messages[: index + 1])
            if not (text.startswith(after) and after.startswith(before)):
                raise TemplateFailsError(
                    f"message {index + 1}: what the template writes before an answer is not what it writes once the answer is there"
                )
            answers.append((len(before), _end(after, tokenizer.eos_token)))
    return Conversation(text=text, answers=tuple(answers))


def question_of(tokenizer: Any, messages: Sequence[Mapping[str, str]]) -> str:
    """Return what the model is asked when it is to write the last answer of a conversation. Raises TemplateFailsError."""
    last = max(index for index, message in enumerate(messages) if message["role"] == ASSISTANT)
    return _rendered(tokenizer, messages[:last], is_asked=True)


def _marked(tokenizer: Any, messages: Sequence[Mapping[str, str]]) -> Conversation:
    from transformers.utils.chat_template_utils import render_jinja_template  # noqa: PLC0415  (seconds)

    try:
        (text,), (answers,) = render_jinja_template(
            conversations=[list(messages)],
            chat_template=tokenizer.chat_template,
            return_assistant_tokens_mask=True,
            **tokenizer.special_tokens_map,
        )
    except Exception as error:  # a template is code of its author
        raise TemplateFailsError(str(error).splitlines()[0] if str(error) else type(error).__name__) from error
    if not answers:
        raise TemplateFailsError("its {% generation %} marks nothing of the conversation")
    return Conversation(text=text, answers=tuple((start, end) for start, end in answers))


def _rendered(tokenizer: Any, messages: Sequence[Mapping[str, str]], *, is_asked: bool = False) -> str:
    """Return the text of messages. is_asked: with what the template writes before an answer."""
    if not messages and not is_asked:
        return ""
    try:
        text: str = tokenizer.apply_chat_template(list(messages), tokenize=False, add_generation_prompt=is_asked)
    except Exception as error:  # a template is code of its author
        raise TemplateFailsError(str(error).splitlines()[0] if str(error) else type(error).__name__) from error
    return text


def _end(text: str, end_token: str) -> int:
    """Return where the answer at the end of a text ends: behind the token that ends texts, where the template writes it; white space behind it is no answer."""
    stripped = text.rstrip()
    return len(stripped) if stripped.endswith(end_token) else len(text)
