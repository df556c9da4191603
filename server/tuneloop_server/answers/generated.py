"""A generated text as it is compared: how it ended, and how long it is. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from tuneloop_api.features.generated_answers import is_refusal


class Ending(StrEnum):
    """How a generated text ended. The words are fields of `contract.comparison.GeneratedAnswers`."""

    STOP = "stop"
    LENGTH = "length"
    EMPTY = "empty"
    REFUSED = "refused"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class GeneratedText:
    """A text that a model generated. It is held while it is compared, and no longer; whoever prints an answer does not show it."""

    text: str = field(repr=False)
    ending: Ending
    tokens: int | None
    """None: the answer does not say."""


def ending_of(text: str, finish: object, *, refusal: object = None) -> Ending:
    """Return how a text ended. finish: `finish_reason` of the answer; None: it has none. refusal: OpenAI's field, a text where the model refuses.

    Whoever refuses in words that are not English is not counted: the count is a hint, and no gate reads it.
    """
    if refusal or is_refusal(text):
        return Ending.REFUSED
    if not text.strip():
        return Ending.EMPTY
    if not isinstance(finish, str):
        return Ending.UNKNOWN
    return Ending.LENGTH if finish == "length" else Ending.STOP
